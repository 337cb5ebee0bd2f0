"""The contract of an integrator."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

from torch import Tensor

from ctrlnet.systems import STRUCTURES
from ctrlnet.systems.fields import Time

NEEDS = ("Field", *STRUCTURES)
Carry: TypeAlias = "tuple[Tensor, ...] | None"


class Step(NamedTuple):
    """One step of a method.

    Attributes:
        x: the state after the step, (..., n).
        error: estimate of the local error, (..., n); None for a method without one.
        carry: what the method hands to its own next step, such as earlier slopes or the last stage: tensors of the
            states' shape (..., n), or None.
    """

    x: Tensor
    error: Tensor | None = None
    carry: Carry = None


class Integrator(Protocol):
    """A method for x' = f(t, x). It holds no state between calls; what it must remember travels in `carry`.

    t and h [s] are numbers, or tensors that broadcast against x: (..., 1) where every state has its own time and step,
    without dimensions where a step is compiled. h is negative when time runs backwards, and a step with h = 0 stays.

    Attributes:
        order: order of convergence p, error O(h^p).
        needs: what it is given for a field: "Field" is a plain f(t, x); "Separable", "Split" and "Energy" are the
            objects of these names, which offer more than values.

    Optional attributes:
        embedded_order: int, the order of the lower-order solution behind the error estimate that steps then carry;
            `solve` chooses the steps itself when it is given none.
        interpolate(x, h, carry, theta): dense output, the state at t + theta h from the state before and the carry
            after a step; without it a cubic Hermite interpolant serves.
        multistep: True where a step relies on those before it being of the same size; `solve` then begins anew,
            with `init`, where the size changes, and never adapts it.
        back(field, t, x, h, carry): the inverse of `step`, a Step from the state at t + h and the carry after it to
            the state at t and the carry before it; gradient="reversible" serves methods that have it.
        backward_growth: the factor by which `back` magnifies rounding in a step, 1 when absent.
        check(field, t, x, h, steps): raises a UsageError where the method cannot be meant for so many steps of size h
            (a signed number) from x at t; `solve` asks once, before the first.
        symplectic, symmetric, conserves_energy: True for what the method claims and the conformance kit then checks.
    """

    order: int
    needs: str

    def init(self, field: Any, t: Time, x: Tensor) -> Carry:
        """The carry before the first step, at time t [s] and states x (..., n)."""
        ...

    def step(self, field: Any, t: Time, x: Tensor, h: Time, carry: Any) -> Step:
        """From x at t to t + h."""
        ...
