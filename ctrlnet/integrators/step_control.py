"""The choice of the step size from error estimates."""

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
PROPORTIONAL, INTEGRAL = 0.4, 0.3


@final
@dataclass(frozen=True)
class Tolerance:
    """Local error allowed in a step of an adaptive method,  absolute + relative |x|  in each coordinate.

    The error of a state is the root mean square over its coordinates; that of a batch is its worst state's.

    Args:
        relative: at least 0.
        absolute: above 0, in the units of the state.
        steps: most steps tried, accepted or not; beyond it the solution ends with status "step limit".
    """

    relative: Number = 1e-6
    absolute: Number = 1e-8
    steps: int = 10_000

    def __post_init__(self) -> None:
        numbers = (self.relative, self.absolute)
        if not all(isinstance(one, Real) for one in numbers) or not isinstance(self.steps, int):
            raise UsageError(f"{self} cannot be met: relative and absolute are numbers, steps is an integer.")
        if not (0 <= self.relative < math.inf and 0 < self.absolute < math.inf and self.steps >= 1):
            raise UsageError(f"{self} cannot be met: relative >= 0, absolute > 0, both finite, and steps >= 1.")

    def allowed(self, x: Tensor, end: Tensor) -> Tensor:
        """The error allowed in each coordinate of a step from x to `end`, (..., n)."""
        return float(self.absolute) + float(self.relative) * torch.maximum(x.abs(), end.abs())


def error_norm(error: Tensor, allowed: Tensor) -> float:
    """The worst state's root mean square of error/allowed, at most 1 where the step is accepted; infinite for NaN."""
    with torch.no_grad():
        worst = float((error / allowed).square().mean(-1).max().sqrt())
    return worst if math.isfinite(worst) else math.inf


def step_factor(error: float, previous: float, exponent_order: int, rejected: bool) -> float:
    """Factor on the step size of the PI controller,  0.9 e_n^(-(kI+kP)/k) e_{n-1}^(kP/k)  within [0.2, 10].

    Args:
        error, previous: norms of this and of the last accepted step.
        exponent_order: k, the embedded order plus one.
        rejected: a rejected step may not grow, and neither may the one that follows it.

    Source: Gustafsson, Control theoretic techniques for stepsize selection in explicit Runge-Kutta methods, 1991.
    """
    if not math.isfinite(error):
        return SMALLEST
    size = max(error, 1e-10)  # an exact step: grow by the largest factor, without dividing by zero
    factor = SAFETY * math.pow(size, -(INTEGRAL + PROPORTIONAL) / exponent_order)
    factor *= math.pow(max(previous, 1e-10), PROPORTIONAL / exponent_order)
    return min(max(factor, SMALLEST), 1.0 if rejected else LARGEST)


def first_step(field: TimeField, t: float, x: Tensor, span: float, order: int, tolerance: Tolerance) -> float:
    """Size and sign of the first step over the interval `span`, from two evaluations.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.4.
    """
    with torch.no_grad():
        allowed = tolerance.allowed(x, x)
        slope = field(t, x)
        size, speed = error_norm(x, allowed), error_norm(slope, allowed)
        trial = 1e-6 if min(size, speed) < 1e-5 else 0.01 * size / speed
        trial = math.copysign(min(trial, abs(span)) or 1e-6, span)
        change = field(t + trial, torch.add(x, slope, alpha=trial)) - slope
        bend = error_norm(change, allowed) / abs(trial)
    steepest = max(speed, bend)
    step = max(1e-6, 1e-3 * abs(trial)) if steepest <= 1e-15 else (0.01 / steepest) ** (1 / (order + 1))
    step = min(100 * abs(trial), step, abs(span))
    return math.copysign(step if step > 0 else 1e-6 * abs(span), span)
