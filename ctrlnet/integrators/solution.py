"""What an integration returns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.contract import Integrator
from ctrlnet.sets import Number, vector
from ctrlnet.systems.fields import TimeField

Status: TypeAlias = Literal["done", "step limit", "non-finite"]


class Segment(NamedTuple):
    """One accepted step: from x at t by h to `end`, and the method's carry after it."""

    t: float
    h: float
    x: Tensor
    end: Tensor
    carry: Any


@final
@dataclass(frozen=True, eq=False)
class Dense:
    """The solution between the steps, as a function of time."""

    method: Integrator
    function: TimeField = field(repr=False)
    segments: Sequence[Segment] = field(repr=False)

    def __call__(self, t: Tensor | Sequence[Number] | Number) -> Tensor:
        """States (t, ..., n) at the given instants [s], within what was integrated; (..., n) at a single number.

        Raises:
            UsageError: an instant outside, or none (ShapeError: instants of another shape than (t,)).
        """
        if isinstance(t, (float, int, Fraction)) or (isinstance(t, Tensor) and t.ndim == 0):
            return self([float(t)])[0]
        instants = vector(t, "t").tolist()
        first, last = self.segments[0].t, self.segments[-1].t + self.segments[-1].h
        low, high = min(first, last), max(first, last)
        rounding = 1e-12 * (high - low)
        outside = [s for s in instants if not low - rounding <= s <= high + rounding]
        if outside:
            raise UsageError(f"t = {outside} lies outside the integrated interval [{low}, {high}].")
        return torch.stack([self._at(instant) for instant in instants])

    def _at(self, t: float) -> Tensor:
        direction = 1.0 if self.segments[0].h > 0 else -1.0
        index = bisect_right(self.segments, direction * t, key=lambda segment: direction * segment.t)
        return interpolated(self.method, self.function, self.segments[max(index - 1, 0)], t)


def interpolated(method: Integrator, function: TimeField, segment: Segment, t: float) -> Tensor:
    """The state at t within a step: the method's own dense output, else the cubic Hermite interpolant."""
    theta = (t - segment.t) / segment.h
    own = getattr(method, "interpolate", None)
    x = None if own is None else own(segment.x, segment.h, segment.carry, theta)
    return _hermite(function, segment, theta) if x is None else x


def _hermite(function: TimeField, segment: Segment, theta: float) -> Tensor:
    """Cubic Hermite interpolant, order 3. Source: Hairer, Norsett and Wanner, II.6, eq. (6.7)."""
    t, h, x, end, _ = segment
    start_slope, end_slope = function(t, x), function(t + h, end)
    correction = (1 - 2 * theta) * (end - x) + (theta - 1) * h * start_slope + theta * h * end_slope
    return (1 - theta) * x + theta * end + theta * (theta - 1) * correction


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """The states at the instants that were asked for and reached.

    Attributes:
        t: instants [s], (t,): all of those asked for when `status` is "done", otherwise the first of them.
        x: states, (t, ..., n).
        status: "done"; "step limit" when the tolerance needs more steps, or smaller ones, than are allowed;
            "non-finite" when the states or the field stopped being finite.
        events: none yet.
        dense: the solution between the steps, a function of time; None where no step was
            finished, and from `odeint`.
        steps, rejected: steps that were taken, and those tried in vain.
    """

    t: Tensor
    x: Tensor
    status: Status
    events: tuple[()] = ()
    dense: Dense | None = None
    steps: int = 0
    rejected: int = 0
