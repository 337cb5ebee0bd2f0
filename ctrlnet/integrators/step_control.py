"""The choice of the step size from error estimates, for every state of a batch by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Number
from ctrlnet.systems.fields import TimeField

SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0
PROPORTIONAL, INTEGRAL = 0.2, 0.65


@final
@dataclass(frozen=True)
class Tolerance:
    """Local error allowed in a step of an adaptive method,  absolute + relative |x|  in each coordinate.

    The error of a state is the root mean square over its coordinates. Every state of a batch has its own steps.

    Args:
        relative: at least 0.
        absolute: above 0, in the units of the state.
        steps: most steps tried for one state, accepted or not; beyond it its solution ends with status "step limit".
        shortest: [s]; a state that needs a shorter step ends with status "minimum step". 0 leaves it to rounding.
        longest: [s]; no step is longer. A method that leaps over a short event needs it.
    """

    relative: Number = 1e-6
    absolute: Number = 1e-8
    steps: int = 10_000
    shortest: Number = 0.0
    longest: Number = math.inf

    def __post_init__(self) -> None:
        numbers = (self.relative, self.absolute, self.shortest, self.longest)
        if not all(isinstance(one, Real) for one in numbers) or not isinstance(self.steps, int):
            raise UsageError(
                f"{self} cannot be met: relative and absolute are numbers, like shortest and longest; steps is an "
                "integer."
            )
        if not (0 <= self.relative < math.inf and 0 < self.absolute < math.inf and self.steps >= 1):
            raise UsageError(f"{self} cannot be met: relative >= 0, absolute > 0, both finite, and steps >= 1.")
        if not 0 <= self.shortest < self.longest:
            raise UsageError(f"{self} cannot be met: 0 <= shortest < longest, in seconds.")

    def allowed(self, x: Tensor, end: Tensor) -> Tensor:
        """√n times the error allowed in each coordinate of a step from x to `end`, (..., n)."""
        root = math.sqrt(x.shape[-1])
        most = x.abs() if end is x else torch.maximum(x.abs(), end.abs())
        return most.mul_(root * float(self.relative)).add_(root * float(self.absolute))

    def check(self, x: Tensor) -> None:
        """Refuse errors smaller than the rounding of the states.

        Raises:
            UsageError: saying what the precision allows.
        """
        unit, size = torch.finfo(x.dtype).eps, float(x.detach().abs().max()) if x.numel() else 0.0
        if self.relative < unit and self.absolute < unit * size:
            raise UsageError(
                f"{self} is below the rounding of {x.dtype}, {unit:.1e} of states as large as {size:.1e}. Give "
                f"relative at least {unit:.1e}, or x0.double()."
            )


def error_norms(error: Tensor, allowed: Tensor) -> Tensor:
    """Root mean square over each state's coordinates of the error over what is allowed, (r, n) to (r, 1).

    A step is accepted where it is at most 1.

    Args:
        allowed: as `Tolerance.allowed` gives it, √n times.
    """
    norms: Tensor = torch.linalg.vector_norm(error / allowed, dim=-1, keepdim=True)
    return norms


def step_factors(error: Tensor, previous: Tensor, exponent_order: int, held: Tensor | None) -> Tensor:
    """Factors on the step sizes of the PI controller,  0.9 e_n^(-(kI+kP)/k) e_{n-1}^(kP/k)  within [0.2, 10], (r, 1).

    Args:
        error, previous: norms of this and of the last accepted step, above 0; an infinite one shrinks by the smallest.
        exponent_order: k, the embedded order plus one.
        held: where the step may not grow: a rejected one, and the one that follows it; None for nowhere.

    The exponents kI = 0.65, kP = 0.2 are near those of a controller without memory: steps grow to their size quickly.

    Source: Gustafsson, Control theoretic techniques for stepsize selection in explicit Runge-Kutta methods, 1991;
    exponents: Hairer and Wanner, Solving Ordinary Differential Equations II, 2nd ed., section IV.2.
    """
    shrinking, growing = -(INTEGRAL + PROPORTIONAL) / exponent_order, PROPORTIONAL / exponent_order
    factor = error.pow(shrinking).mul_(previous.pow(growing)).mul_(SAFETY).clamp_(SMALLEST, LARGEST)
    return factor if held is None else torch.where(held, factor.clamp(max=1.0), factor)


@torch.no_grad()
def first_steps(
    rate: TimeField, t: Tensor, x: Tensor, slope: Tensor, span: Tensor, order: int, tolerance: Tolerance
) -> Tensor:
    """Sizes and signs of the first steps over the intervals `span`, (r, 1), from the slope at (t, x) and another.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.4.
    """
    allowed, long = tolerance.allowed(x, x), span.abs()
    size, speed = error_norms(x, allowed), error_norms(slope, allowed)
    trial = torch.where(torch.minimum(size, speed) < 1e-5, 1e-6, 0.01 * size / speed).to(span.dtype)
    trial = torch.minimum(trial, long).clamp_(min=1e-300)
    signed = trial.copysign(span)
    ahead = rate((t + signed).to(x.dtype), torch.addcmul(x, signed.to(x.dtype), slope))
    steepest = torch.maximum(speed, error_norms(ahead - slope, allowed) / trial)
    step = torch.where(steepest <= 1e-15, (1e-3 * trial).clamp_(min=1e-6), (0.01 / steepest).pow(1 / (order + 1)))
    step = torch.minimum(torch.minimum(100 * trial, step), long)
    step = torch.where(step > 0, step, 1e-6 * long)  # false for NaN too: the first step then finds out
    return step.copysign(span)
