"""The record of an integration: its accepted steps, and the states asked for within them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.compiled import Advance, stepping
from ctrlnet.integrators.contract import Carry, Integrator
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.systems import Structured, Timed
from ctrlnet.systems.fields import Time, TimeField


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """What is integrated, by what.

    Attributes:
        method: the integrator.
        given: what it gets for a field: f(t, x), or the structured field that it needs.
        rate: f(t, x).
        advance: its step on that field, (t, x, h, carry) to Step.
        field: what the user gave.
        compiled: the steps are.
    """

    method: Integrator
    given: Any
    rate: TimeField
    advance: Advance
    field: Any = None
    compiled: bool = False

    @property
    def timeless(self) -> bool:
        """The steps need no time: those of a plain field by a Runge-Kutta method, as they are."""
        plain = self.field is not None and not isinstance(self.field, (Timed, Structured))
        return plain and isinstance(self.method, RungeKutta) and not self.compiled

    def begin(self, t: Time, x: Tensor) -> Carry:
        """The carry before a first step."""
        return self.method.init(self.given, t, x)

    def slope(self, t: Time, x: Tensor, carry: Carry) -> Tensor:
        """f(t, x) as a constant; a Runge-Kutta method's carry before a step holds it already."""
        if isinstance(self.method, RungeKutta) and carry is not None:
            return carry[-1].detach()
        with torch.no_grad():
            return self.rate(t, x).detach()

    def in_batch(self, batch: torch.Size) -> Problem:
        """The same for a flat batch (b, n), whose field still sees the batch's own shape when asked about all of it."""
        if isinstance(self.given, Structured) or len(batch) == 1:
            return self

        inner = self.rate

        def rate(t: Time, x: Tensor) -> Tensor:
            if len(x) != batch.numel():
                return inner(t, x)
            t = t.reshape(*batch, 1) if isinstance(t, Tensor) and t.ndim else t
            return inner(t, x.reshape(*batch, -1)).reshape(x.shape)

        advance = stepping(self.method, rate, rate, self.compiled)
        return Problem(self.method, rate, rate, advance, self.field, self.compiled)


class Asked(NamedTuple):
    """States asked for within one step.

    Attributes:
        which: rows of the step, (q,); None for all of them.
        theta: where in the step, (q, 1) in (0, 1]; None at its end.
        slots: positions in the flattened output, (q,), or the number of the instant for all states at once.
    """

    which: Tensor | None
    theta: Tensor | None
    slots: Tensor | int


class Move(NamedTuple):
    """One accepted step of some rows of the batch.

    Attributes:
        rows: which states moved, (r,), in the batch flattened to (b, n); None for all, in the batch's own shape.
        t, h: when and how far, numbers or (r, 1).
        x, before: states and carry before the step.
        end, after: states and carry after it.
        fresh: the carry before it was made anew by `init` at (t, x).
        asked: states asked for within it.
        steps: of h, one after another, that are taken as one.
    """

    rows: Tensor | None
    t: Time
    h: Time
    x: Tensor
    before: Carry
    end: Tensor
    after: Carry
    fresh: bool
    asked: tuple[Asked, ...] = ()
    steps: int = 1


Keep: TypeAlias = Callable[[Move], Move]  # what is to be remembered of an accepted step


def answered(problem: Problem, move: Move, asked: Asked) -> Tensor:
    """The states asked for: (q, n), or those of all rows."""
    if asked.theta is None:
        return move.end if asked.which is None else move.end[asked.which]
    return interpolated(problem, taken(move, asked.which), asked.theta)


def taken(move: Move, index: Tensor | None) -> Move:
    """The move of some of its rows."""
    if index is None:
        return move

    def some(one: Any) -> Any:
        return one[index] if isinstance(one, Tensor) and one.ndim > 1 else one

    parts = [None if carry is None else tuple(map(some, carry)) for carry in (move.before, move.after)]
    rows = index if move.rows is None else move.rows[index]
    return Move(
        rows, some(move.t), some(move.h), move.x[index], parts[0], move.end[index], parts[1], move.fresh, move.asked
    )


def interpolated(problem: Problem, move: Move, theta: Time) -> Tensor:
    """The states at t + theta h, the step's own rows."""
    return interpolant(problem, move)(theta)


def interpolant(problem: Problem, move: Move) -> Callable[[Time], Tensor]:
    """theta to the states at t + theta h: the method's own dense output, else a cubic, else a shorter step.

    The cubic of Hermite, of order 3, serves methods up to order 4 and multistep ones; the others take one step of
    theta h from the same start.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.6, eq. (6.7).
    """
    method = problem.method
    own = getattr(method, "interpolate", None)
    slopes: list[Tensor] = []

    def at(theta: Time) -> Tensor:
        x: Tensor | None = None if own is None else own(move.x, move.h, move.after, theta)
        if x is not None:
            return x
        if method.order > 4 and not getattr(method, "multistep", False):
            carry = problem.begin(move.t, move.x) if move.before is None else move.before
            return method.step(problem.given, move.t, move.x, theta * move.h, carry).x
        if not slopes:  # two evaluations, however many states are asked for
            slopes.extend((problem.rate(move.t, move.x), problem.rate(move.t + move.h, move.end)))
        bend = (1 - 2 * theta) * (move.end - move.x) + move.h * ((theta - 1) * slopes[0] + theta * slopes[1])
        return (1 - theta) * move.x + theta * move.end + theta * (theta - 1) * bend

    return at


def gathered(values: list[Tensor], slots: list[Tensor], count: int) -> Tensor:
    """The answers (count, n) at their places; NaN where a place got none."""
    flat = torch.cat(values)
    return flat.new_full((count, flat.shape[-1]), torch.nan).index_put((torch.cat(slots),), flat)


@torch.no_grad()
def require_uncoupled(rate: TimeField, t: Tensor, x: Tensor) -> None:
    """Refuse a field whose velocity of one state depends on the others: they will not be at the same time.

    Raises:
        UsageError: it does.
    """
    x = x.detach()
    others = torch.cat([x[:1], 1.001 * x[1:] + 0.001])
    slope, again = rate(t, x)[0], rate(t, others)[0]
    size = slope.abs().max().clamp(min=torch.finfo(x.dtype).tiny)
    if not bool((slope - again).abs().max() <= torch.finfo(x.dtype).eps ** 0.5 * size) and bool(slope.isfinite().all()):
        raise UsageError(
            "The velocity of a state depends on the other states of the batch, and every state would take steps of its "
            "own. Put what is coupled into one state (..., n), or give a step and instants (t,) for all states."
        )
