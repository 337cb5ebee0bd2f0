"""What was asked for within the steps of a batch whose states have steps of their own: instants, and events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from ctrlnet.integrators.events import WIDTH, Event, Found, at_once, located
from ctrlnet.integrators.moves import Asked, Keep, Move, Problem, answered, taken
from ctrlnet.integrators.rows import Rows
from ctrlnet.integrators.solution import DONE, EVENT, MINIMUM_STEP, NON_FINITE


@final
@dataclass
class Record:
    """What was reached: answers and their slots, accepted steps, crossings; and for each state of the batch (b,) how it
    ended, the number of its instants, of its steps and of those tried in vain.

    Slots are instant * b + row, and after them one for each crossing.
    """

    status: Tensor
    reached: Tensor
    steps: Tensor
    rejected: Tensor
    answers: int
    values: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    @staticmethod
    def of(instants: Tensor) -> Record:
        """An empty one, for instants (b, t)."""
        none = torch.zeros(len(instants), dtype=torch.int64, device=instants.device)
        return Record(none, none.clone(), none.clone(), none.clone(), instants.numel())

    def enter(self, rows: Rows, tries: int) -> None:
        """How far these have come in so many steps, taken or not."""
        for name in ("status", "reached", "rejected"):
            getattr(self, name).index_copy_(0, rows.index, getattr(rows, name))
        self.steps.index_copy_(0, rows.index, tries - rows.missed)


@final
class Answers:
    """Finds the states asked for within the steps, and enters them into a record.

    Args:
        keep: what is to be remembered of an accepted step.
        forward: instants increase.
    """

    def __init__(
        self, problem: Problem, events: Sequence[Event], keep: Keep | None, record: Record, forward: bool
    ) -> None:
        self.problem, self.events, self.keep, self.record, self.forward = problem, events, keep, record, forward
        self.watches = bool(events) or keep is not None  # every step, not only those to an instant
        self.sides: list[Tensor] = []  # of each event, for each state of the batch

    def begin(self, rows: Rows, t: Tensor, h: Tensor) -> None:
        """The states at the first instants, about to take steps of size h."""
        self.batch = len(rows.index)
        self.sides = [event.side(self.problem.rate, t, rows.x, h) for event in self.events]
        self.record.values.append(rows.x)
        self.record.slots.append(rows.index)

    def note(self, rows: Rows, move: Move, h: Tensor, after: Tensor, moved: Tensor | None) -> None:
        """The states asked for within a step of size h to the times `after`, and its crossings, in the rows that moved.

        Args:
            moved: (r, 1); None for all of them.
        """
        asked, limit = self._crossings(rows, move, h, after, moved) if self.events else ([], after)
        asked += self._instants(rows, move, h, after, limit, moved)
        self.record.values += [answered(self.problem, move, one) for one in asked]
        self.record.slots += [one.slots for one in asked if isinstance(one.slots, Tensor)]
        if self.keep is not None:
            self.record.moves.append(self.keep(_of_those_moved(move._replace(asked=tuple(asked)), moved)))

    def _instants(
        self, rows: Rows, move: Move, h: Tensor, after: Tensor, limit: Tensor, moved: Tensor | None
    ) -> list[Asked]:
        """The instants from the last one reached to `limit`, which comes before `after` where an event ends a row."""
        passed = limit >= rows.following if self.forward else limit <= rows.following
        passed = passed if moved is None else passed & moved
        if not bool(passed.any()):
            return []
        index, number = self._reached(rows, limit, passed[:, 0])
        slots, instants = number * self.batch + rows.index[index], rows.instants[index, number][:, None]
        ends = (instants == after[index])[:, 0]
        if bool(ends.all()):
            return [Asked(None if len(index) == len(rows.index) else index, None, slots)]
        theta = ((instants - rows.t[index]) / h[index]).to(move.x.dtype)
        within = Asked(index[~ends], theta[~ends], slots[~ends])
        return [within, Asked(index[ends], None, slots[ends])] if bool(ends.any()) else [within]

    def _reached(self, rows: Rows, limit: Tensor, passed: Tensor) -> tuple[Tensor, Tensor]:
        """The instants up to `limit` of the rows that passed some: rows and numbers, (q,) each."""
        times = rows.instants
        found = torch.searchsorted(*((times, limit) if self.forward else (-times, -limit)), right=True)[:, 0]
        before, rows.reached = rows.reached, torch.where(passed, found, rows.reached)
        done = passed & (rows.reached == times.shape[1])
        rows.status = torch.where(done, rows.status.clamp(min=DONE), rows.status)  # an event at the end stays one
        rows.changed |= bool(done.any())
        rows.following = times.gather(1, rows.reached.clamp(max=times.shape[1] - 1)[:, None])
        counts = rows.reached - before
        if int(counts.max()) == 1:
            index = counts.nonzero()[:, 0]
            return index, before[index]
        index = torch.repeat_interleave(counts)
        return index, torch.arange(len(index), device=index.device) - (counts.cumsum(0) - counts - before)[index]

    def _crossings(
        self, rows: Rows, move: Move, h: Tensor, after: Tensor, moved: Tensor | None
    ) -> tuple[list[Asked], Tensor]:
        """The events of the step up to the first terminal one of each row, and the times at which its rows end."""
        found = list[tuple[int, Tensor, Tensor, Tensor]]()
        stop, lost = torch.full_like(after, math.inf), torch.zeros_like(rows.index, dtype=torch.bool)
        for number, event in enumerate(self.events):
            side = self.sides[number][rows.index]
            with torch.no_grad():
                value = event(move.t + move.h, move.end)
            value = value if moved is None else torch.where(moved[:, 0], value, side)  # as before
            self.sides[number][rows.index] = self._later(event, move, value, moved)
            lost |= value.isnan()
            index = event.crossed(side, value).nonzero()[:, 0]
            if len(index):
                theta = located(event, side[index], self.problem, taken(move, index))
                times = torch.where(theta < 1, rows.t[index] + theta * h[index], after[index])
                found.append((number, index, theta, times[:, 0]))
                if event.terminal:
                    stop[index] = torch.minimum(stop[index], theta)
        stop[lost] = 0.0  # nobody knows what such a step leaps over
        ended = stop[:, 0].isfinite()
        if bool(ended.any()):
            why = torch.where(self._at_once(rows, move, stop), MINIMUM_STEP, EVENT)
            rows.status, rows.changed = torch.where(ended, torch.where(lost, NON_FINITE, why), rows.status), True
        asked = [self._noted(rows, stop, *one, move.x.dtype) for one in found]
        return asked, torch.where(stop < 1, rows.t + stop * h, after)

    def _later(self, event: Event, move: Move, value: Tensor, moved: Tensor | None) -> Tensor:
        """The sides after the step, (r,): foreseen where it ended at zero."""
        zero = value == 0 if moved is None else (value == 0) & moved[:, 0]
        if not bool(zero.any()):
            return value.sign()
        assert isinstance(move.t, Tensor)
        assert isinstance(move.h, Tensor)
        return torch.where(zero, event.side(self.problem.rate, move.t + move.h, move.end, move.h), value.sign())

    @torch.no_grad()
    def _at_once(self, rows: Rows, move: Move, stop: Tensor) -> Tensor:
        """Where the end comes at once after the start, (r,): a solution that began at g = 0 cannot leave it."""
        first = (rows.t == rows.instants[:, :1]) & stop.isfinite()
        if bool(first.any()):
            assert isinstance(move.t, Tensor)
            assert isinstance(move.h, Tensor)
            slope = self.problem.rate(move.t, move.x)
            first &= stop * move.h.abs() <= at_once(move.t, move.x, move.h, slope)
        return first[:, 0]

    def _noted(
        self, rows: Rows, stop: Tensor, event: int, index: Tensor, theta: Tensor, times: Tensor, dtype: torch.dtype
    ) -> Asked:
        """The crossings of one event that come no later than the end of their rows, but for how it was located."""
        in_time = (theta <= stop[index] + 2 * WIDTH)[:, 0]
        index, theta, times = index[in_time], theta[in_time], times[in_time]
        slots = self.record.answers + torch.arange(len(index), device=index.device)
        self.record.answers += len(index)
        self.record.found.append(Found(event, rows.index[index], times, slots))
        return Asked(index, theta.to(dtype), slots)


def _of_those_moved(move: Move, moved: Tensor | None) -> Move:
    """The step of these rows alone; what was asked for names them by their new places."""
    if moved is None:
        return move
    place, index = moved[:, 0].cumsum(0) - 1, moved[:, 0].nonzero()[:, 0]
    asked = [one if one.which is None else one._replace(which=place[one.which]) for one in move.asked]
    return taken(move, index)._replace(asked=tuple(asked))
