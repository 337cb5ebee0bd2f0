"""From the first instant to the last, every state of a batch in steps of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Carry, Step
from ctrlnet.integrators.controls import Control, Judgement, Rows
from ctrlnet.integrators.events import Event, Found, located
from ctrlnet.integrators.moves import Asked, Keep, Move, Problem, answered, require_uncoupled, taken
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.integrators.solution import DONE, EVENT, MINIMUM_STEP, NON_FINITE, RUNNING, STEP_LIMIT

_CROWD = 0.75  # the rows that still run are gathered once they are fewer than this share


@dataclass
class Record:
    """What was reached: answers and their slots, accepted steps, crossings; and for each state of the batch (b,) how it
    ended, the number of its instants, of its steps and of those tried in vain.

    Slots are row * t + instant, and after them one for each crossing.
    """

    status: Tensor
    reached: Tensor
    steps: Tensor
    rejected: Tensor
    values: list[Tensor] = field(default_factory=list)
    slots: list[Tensor | int] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    answers: int = 0


@final
class Travel:
    """The march of a batch x (b, n) through instants (b, t) of its own, increasing or decreasing.

    Args:
        separable: rows may be evaluated without the others: those that have finished are then left out.
        keep: what is to be remembered of an accepted step.
    """

    def __init__(
        self,
        problem: Problem,
        instants: Tensor,
        control: Control,
        events: Sequence[Event],
        separable: bool,
        keep: Keep | None,
    ) -> None:
        self.problem, self.instants, self.control, self.events = problem, instants, control, events
        self.separable, self.keep = separable, keep
        self.direction = 1.0 if bool((instants[:, -1] > instants[:, 0]).all()) else -1.0
        self.multistep = bool(getattr(problem.method, "multistep", False))
        self.following = instants[:, 1:2]  # the next instant of each state, or the last one
        self.tries, self.changed, self.waiting = 0, False, False  # changed: some status; waiting: rows that have ended
        none = torch.zeros(len(instants), dtype=torch.int64, device=instants.device)
        self.record = Record(none + RUNNING, none + 1, none.clone(), none.clone(), answers=instants.numel())

    def run(self, x: Tensor) -> Record:
        """From x to the ends."""
        start, index = self.instants[:, :1], torch.arange(len(x), device=x.device)
        ones = torch.ones_like(start)
        if not self.separable:
            require_uncoupled(self.problem.rate, start.to(x.dtype), x)
        rows = Rows(index, start, x, ones, ones)
        rows.h = self.control.first(self.problem, rows, self._target(index) - start)
        rows.carry = self.problem.begin(start.to(x.dtype), x)
        size = rows.h.to(x.dtype)
        self.sides = [event.side(self.problem.rate, start.to(x.dtype), x, size) for event in self.events]
        self.record.values.append(x)
        self.record.slots.append(index * self.instants.shape[1])
        while len(rows.index):
            rows = self._stepped(rows)
        return self.record

    def _target(self, index: Tensor) -> Tensor:
        """Where the steps of these rows must not go beyond, (r, 1)."""
        targets = self.following if self.control.lands else self.instants[:, -1:]
        return targets if self._all(index) else targets[index]

    def _all(self, index: Tensor) -> bool:
        """These are all rows, which never change their order."""
        return len(index) == len(self.instants)

    def _stepped(self, rows: Rows) -> Rows:
        """One step tried by every row; the rows that still run after it."""
        h, after = self._clipped(rows)
        near, size = rows.t.to(rows.x.dtype), h.to(rows.x.dtype)
        done = self.problem.advance(near, rows.x, size, rows.carry)
        judgement = self.control.judged(rows, h, done)
        accepted = self._accepted(rows.index, judgement)
        chosen = None if accepted is None else accepted.nonzero()[:, 0]
        if chosen is not None and torch.is_grad_enabled() and self.separable:
            done = self._without_infinite(rows, h, done, chosen)
        if chosen is None or len(chosen):
            move = Move(rows.index, near, size, rows.x, rows.carry, done.x, done.carry, rows.fresh)
            self._answer(taken(move, chosen), *(one if chosen is None else one[chosen] for one in (rows.t, h, after)))
        self._count(rows.index, accepted, judgement)
        return self._next(rows, done, after, judgement, None if accepted is None else accepted[:, None])

    def _accepted(self, index: Tensor, judgement: Judgement) -> Tensor | None:
        """Which rows go on from the step, (r,); None for all of them."""
        accepted = None if judgement.accepted is None else judgement.accepted[:, 0]
        if not self.waiting:
            return accepted
        running = self.record.status[index] == RUNNING
        return running if accepted is None else accepted & running

    def _clipped(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Steps cut at the target (or stretched to it by a hundredth, to leave no sliver), and the times after them."""
        target = self._target(rows.index)
        left = target - rows.t
        last = left.abs() <= 1.01 * rows.h.abs()
        h, after = torch.where(last, left, rows.h), torch.where(last, target, rows.t + rows.h)
        if not self.waiting:
            return h, after
        halted = (self.record.status[rows.index] != RUNNING)[:, None]
        return torch.where(halted, 0.0, h), torch.where(halted, rows.t, after)

    def _without_infinite(self, rows: Rows, h: Tensor, done: Step, chosen: Tensor) -> Step:
        """The step with rows left out that became infinite: their derivatives would make NaN of every gradient."""
        if len(chosen) == 0 or bool(done.x.isfinite().all()):
            return done
        some, dtype = rows.of(chosen), rows.x.dtype
        again = self.problem.advance(some.t.to(dtype), some.x, h[chosen].to(dtype), some.carry)
        carry = None if again.carry is None else tuple(rows.x.index_copy(0, chosen, one) for one in again.carry)
        return Step(rows.x.index_copy(0, chosen, again.x), None, carry)

    def _answer(self, move: Move, t: Tensor, h: Tensor, after: Tensor) -> None:
        """The states asked for within the accepted step of these rows, and its crossings."""
        asked, limit = self._crossings(move, t, h, after) if self.events else ([], after)
        asked += self._instants(move, t, h, after, limit)
        if self.keep is not None:
            self.record.moves.append(self.keep(move._replace(asked=tuple(asked))))
        self.record.values += [answered(self.problem, move, one) for one in asked]
        self.record.slots += [one.slots for one in asked]

    def _instants(self, move: Move, t: Tensor, h: Tensor, after: Tensor, limit: Tensor) -> list[Asked]:
        """The instants from the last one reached to `limit`, which comes before `after` where an event ends a row."""
        record, rows = self.record, move.rows
        assert rows is not None
        following = self.following if self._all(rows) else self.following[rows]
        if not bool((limit >= following if self.direction > 0 else limit <= following).any()):
            return []
        times = self.instants if self._all(rows) else self.instants[rows]
        ordered = times if self.direction > 0 else -times
        reached = torch.searchsorted(ordered, self.direction * limit, right=True)[:, 0]
        before, record.reached[rows] = record.reached[rows], reached
        done = (reached == times.shape[1]) & (record.status[rows] == RUNNING)
        record.status[rows] = torch.where(done, DONE, record.status[rows])
        self.changed |= bool(done.any())
        number = reached.clamp(max=times.shape[1] - 1)[:, None]
        self.following = self.following.index_copy(0, rows, times.gather(1, number))
        counts = reached - before
        index = torch.repeat_interleave(counts)
        number = torch.arange(len(index), device=t.device) - (counts.cumsum(0) - counts - before)[index]
        slots, instants = rows[index] * times.shape[1] + number, times[index, number][:, None]
        ends = (instants == after[index])[:, 0]
        if bool(ends.all()):
            return [Asked(None if len(index) == len(rows) else index, None, slots)]
        theta = ((instants - t[index]) / h[index]).to(move.x.dtype)
        within = Asked(index[~ends], theta[~ends], slots[~ends])
        return [within, Asked(index[ends], None, slots[ends])] if bool(ends.any()) else [within]

    def _crossings(self, move: Move, t: Tensor, h: Tensor, after: Tensor) -> tuple[list[Asked], Tensor]:
        """The events of the step up to the first terminal one of each row, and the times at which its rows end."""
        rows, found = move.rows, list[tuple[int, Tensor, Tensor]]()
        assert rows is not None
        stop, lost = torch.full_like(t, math.inf), torch.zeros_like(rows, dtype=torch.bool)
        for number, event in enumerate(self.events):
            with torch.no_grad():
                value = event(move.t + move.h, move.end)
            side = self.sides[number][rows]
            self.sides[number][rows] = torch.where(value == 0, -side, value.sign())
            lost |= value.isnan()
            index = event.crossed(side, value).nonzero()[:, 0]
            if len(index):
                found.append((number, index, located(event, side[index], self.problem, taken(move, index))))
                if event.terminal:
                    stop[index] = torch.minimum(stop[index], found[-1][2])
        stop[lost] = 0.0  # nobody knows what such a step leaps over
        ended = stop[:, 0].isfinite()
        self.record.status[rows[ended]] = EVENT
        self.record.status[rows[lost]] = NON_FINITE
        self.changed |= bool(ended.any())
        asked = [self._noted(move, number, index, theta, stop, t, h) for number, index, theta in found]
        return asked, torch.where(ended[:, None], t + stop * h, after)

    def _noted(self, move: Move, event: int, index: Tensor, theta: Tensor, stop: Tensor, t: Tensor, h: Tensor) -> Asked:
        """The crossings of one event that come no later than the end of their rows."""
        assert move.rows is not None
        in_time = (theta <= stop[index])[:, 0]
        index, theta = index[in_time], theta[in_time]
        slots = self.record.answers + torch.arange(len(index), device=index.device)
        self.record.answers += len(index)
        times = (t[index] + theta * h[index])[:, 0]
        self.record.found.append(Found(event, move.rows[index], times, slots))
        return Asked(index, theta.to(move.x.dtype), slots)

    def _count(self, index: Tensor, accepted: Tensor | None, judgement: Judgement) -> None:
        """The steps taken and tried, and the ends of the rows that cannot go on."""
        self.tries += 1
        if accepted is None and self._all(index):
            self.record.steps += 1
        else:
            self.record.steps[index] += 1 if accepted is None else accepted
        if judgement.accepted is not None or self.tries >= self.control.tries:
            self._end(index, judgement)

    def _end(self, index: Tensor, judgement: Judgement) -> None:
        """The rows that cannot go on, and those whose step was tried in vain."""
        record, none = self.record, torch.zeros_like(index, dtype=torch.bool)
        status = record.status[index]
        running, parts = status == RUNNING, (judgement.accepted, judgement.stuck, judgement.infinite)
        accepted, stuck, infinite = (none if part is None else part[:, 0] for part in parts)
        if judgement.accepted is not None:
            record.rejected[index] += running & ~accepted
        spent = record.steps[index] + record.rejected[index] >= self.control.tries
        status = torch.where(running & spent, STEP_LIMIT, status)
        status = torch.where(running & stuck, MINIMUM_STEP, status)
        record.status[index] = torch.where(running & (stuck | spent) & infinite, NON_FINITE, status)
        self.changed = True

    def _next(self, rows: Rows, done: Step, after: Tensor, judgement: Judgement, accepted: Tensor | None) -> Rows:
        """The rows after the step: moved where it was accepted, without those that have finished."""
        x, t, carry, fresh = done.x, after, done.carry, False
        if carry is not None and isinstance(self.problem.method, RungeKutta):
            carry = carry[-1:]  # what its next step reads; the other stages are for dense output
        if accepted is not None:
            x, t = torch.where(accepted, x, rows.x), torch.where(accepted, t, rows.t)
            carry, fresh = self._mixed(rows, carry, t, x, accepted)
        following = Rows(rows.index, t, x, rows.h, rows.error, rows.held, carry, fresh)
        if not self.changed:
            return self._sized(following, judgement.proposed, rows.h)
        running, proposed, self.changed = self.record.status[rows.index] == RUNNING, judgement.proposed, False
        count = int(running.sum())
        self.waiting = count < len(running)
        if count == 0 or (self.separable and self.waiting and count <= _CROWD * len(running)):
            kept, self.waiting = running.nonzero()[:, 0], False
            following, proposed = following.of(kept), proposed[kept]
        return self._sized(following, proposed, rows.h)

    def _mixed(self, rows: Rows, carry: Carry, t: Tensor, x: Tensor, accepted: Tensor) -> tuple[Carry, bool]:
        """The carry of the step where it was accepted, else that before it; whether it was made anew for all."""
        before = rows.carry
        if carry is None and before is None:
            return None, False
        if carry is None or before is None or len(carry) != len(before):  # of different kinds: after a first step
            return self.problem.begin(t.to(x.dtype), x), True
        return tuple(torch.where(accepted, new, old) for new, old in zip(carry, before, strict=True)), False

    def _sized(self, rows: Rows, proposed: Tensor, before: Tensor) -> Rows:
        """With the size of the next step; a multistep method begins anew where that changes."""
        rows.h = self.control.size(proposed, lambda: self._target(rows.index) - rows.t)
        if self.multistep and len(rows.index):
            same = len(before) == len(rows.h) and torch.allclose(rows.h, before, rtol=1e-9, atol=0.0)
            if not same:
                rows.carry, rows.fresh = self.problem.begin(rows.t.to(rows.x.dtype), rows.x), True
        return rows
