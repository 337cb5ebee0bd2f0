"""Events: where a function of the state changes its sign along a solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.integrators.moves import Move, Problem, interpolant
from ctrlnet.systems.fields import Time, Timed, TimeField
from ctrlnet.types import Margin

WIDTH, _TRIES = 1e-13, 100  # of a bracket, in steps; iterations
_TOUCHED, _ULPS = 1e-9, 64.0  # how far from a zero a start is at it: in first steps, in roundings of time and state


@final
@dataclass(frozen=True)
class Event:
    """The instants at which g(x) changes its sign, for every state of a batch by itself.

    A solution is on the side σ = ±1 while g has strictly that sign. Its event is the arrival at zero from there,

        t* = inf {t > s : σ g(x(t)) <= 0}    for a solution on the side σ since s,

    falling for σ = 1, rising for σ = -1. While g stays zero it is on no side, and nothing happens until it has left, to
    either of them: no start with g = 0, as after a reset, is an event, nor is a rest on g = 0; touching zero and going
    back is one. Where g = 0 the side is foreseen, the sign of dg/dt along the solution, so that a step may leave zero
    and come back to it.

    An event is found where a step ends at zero or on the other side; `Tolerance(longest=...)` keeps the steps shorter
    than what they could leap over. A start with g = 0 whose terminal event comes within a billionth of its first step,
    or within the rounding of time, has not left: it ends with status "minimum step". So end the ever shorter flights
    of a bouncing ball, which is at rest from there.

    Args:
        function: g, maps (..., n) to (...), row by row; or timed(g) of g(t, x).
        terminal: the solution ends there.
        direction: 1 for a rising sign only, -1 for a falling one only, 0 for both.

    Raises:
        UsageError: no function, or another direction.
    """

    function: Margin | Timed
    terminal: bool = True
    direction: int = 0

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UsageError(f"The function of an event is {self.function!r}; give g(x), (..., n) to (...).")
        if self.direction not in (-1, 0, 1):
            raise UsageError(f"direction is {self.direction!r}; give 1 (rising), -1 (falling) or 0 (both).")
        if not isinstance(self.terminal, bool):
            raise UsageError(f"terminal is {self.terminal!r}; give True or False, and a sign as direction=...")

    def __call__(self, t: Time, x: Tensor) -> Tensor:
        """g at (t, x), (r, n) to (r,), for times that are numbers or (r, 1).

        Raises:
            ShapeError: the function returns another shape.
        """
        if not isinstance(self.function, Timed):
            value = self.function(x)
        else:
            value = self.function(t if isinstance(t, Tensor) else x.new_tensor(t), x)
            value = value[..., 0] if value.shape == (*x.shape[:-1], 1) else value  # as broadcast with t (r, 1)
        if not isinstance(value, Tensor) or value.shape != x.shape[:-1]:
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"The function of an event maps {tuple(x.shape)} to {given}; it must give one number a state."
            )
        if not value.is_floating_point():
            raise ShapeError(
                f"The function of an event returns {value.dtype}; give a floating-point number that changes its sign, "
                "such as x[..., 0] - 0.5 for where x[..., 0] > 0.5 begins."
            )
        return value

    @torch.no_grad()
    def side(self, rate: TimeField, t: Tensor, x: Tensor, h: Tensor) -> Tensor:
        """The sign of g just after t, (r,): where g is zero there, the sign of its derivative along x'.

        Zero is what the solution passes at once, in comparison with its next step h (r, 1).
        """
        value, slope = self(t, x), rate(t, x)
        seconds = at_once(t, x, h, slope).copysign(h)
        change = self(t + seconds, x + seconds * slope) - value
        return torch.where(value.abs() <= change.abs(), change, value).sign()

    def crossed(self, side: Tensor, value: Tensor) -> Tensor:
        """Where the sign has changed to that of the value, in the direction wanted, (r,)."""
        changed = side * value.sign() < 0
        changed |= (value == 0) & (side != 0)
        return changed if self.direction == 0 else changed & (side == -self.direction)


def at_once(t: Tensor, x: Tensor, h: Tensor, slope: Tensor) -> Tensor:
    """Seconds (r, 1) that count as none: a billionth of the step h, and what rounding makes of t and x (r, n)."""
    sizes = [one.abs().amax(-1, keepdim=True) for one in (x, slope)]
    still = (sizes[0] / sizes[1]).nan_to_num(0.0, 0.0, 0.0)
    return torch.maximum(_TOUCHED * h.abs(), _ULPS * torch.finfo(x.dtype).eps * torch.maximum(t.abs(), still))


class Found(NamedTuple):
    """Crossings of one event: the number of the event, the rows of the batch, the times [s], the output slots."""

    event: int
    rows: Tensor
    t: Tensor
    slots: Tensor


@torch.no_grad()
def located(event: Event, side: Tensor, problem: Problem, move: Move) -> Tensor:
    """theta in (0, 1] of the change of sign within a step of rows that all have one, (r, 1) float64.

    False position with the Illinois weights, and bisection every third time, and where g = 0 over an interval.

    Args:
        side: the sign before, (r,): that of g, or of what it becomes where the solution began at a zero.

    Source: Dowell and Jarratt, A modified regula falsi method for computing the root of an equation, 1971.
    """
    at, signs = interpolant(problem, move), side.double()[:, None]

    def value(theta: Tensor) -> Tensor:
        """-g side: negative before the crossing, at least zero from it on."""
        near = theta.to(move.x.dtype)
        return -signs * event(move.t + near * move.h, at(near)).double()[:, None]

    low, high = torch.zeros_like(signs), torch.ones_like(signs)
    before, beyond = value(low), value(high).clamp(min=0.0)
    before = torch.where(before < 0, before, -beyond)  # a solution that began at a zero has left it
    for attempt in range(_TRIES):
        if bool((high - low <= WIDTH).all()):
            break
        guess, middle = (low * beyond - high * before) / (beyond - before), (low + high) / 2
        theta = middle if attempt % 3 == 2 else torch.where((guess > low) & (guess < high), guess, middle)
        found = value(theta)
        past = found >= 0
        high, low = torch.where(past, theta, high), torch.where(past, low, theta)
        before, beyond = torch.where(past, before / 2, found), torch.where(past, found, beyond / 2)
    return high.detach()
