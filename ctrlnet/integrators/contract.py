"""The contract of an integrator."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ctrlnet.systems.fields import TimeField

NEEDS = ("Field",)  # what `solve` can give to an integrator: any field f(t, x)


class Step(NamedTuple):
    """One step of a method.

    Attributes:
        x: the state after the step, (..., n).
        error: estimate of the local error, (..., n); None for a method without one.
        carry: what the method hands to its own next step: earlier values, the last stage, or None.
    """

    x: Tensor
    error: Tensor | None = None
    carry: Any = None


class Integrator(Protocol):
    """A method for x' = f(t, x). It holds no state between calls; what it must remember travels in `carry`.

    Attributes:
        order: order of convergence p, error O(h^p).
        needs: what it is given for a field: "Field" is a plain f(t, x).

    A method whose steps carry an error estimate also has `embedded_order`, an int, the order of its lower-order
    solution; `solve` then chooses the steps itself when it is given none. A method with its own dense output has
    `interpolate(x, h, carry, theta) -> state at t + theta h`, from the state before and the carry after a step; the
    others get a cubic Hermite interpolant.
    """

    order: int
    needs: str

    def init(self, field: TimeField, t: float, x: Tensor) -> Any:
        """The carry before the first step, at time t [s] and states x (..., n)."""
        ...

    def step(self, field: TimeField, t: float, x: Tensor, h: float, carry: Any) -> Step:
        """From x at t to t + h; h [s] is negative when time runs backwards."""
        ...
