"""From the first instant to the last, every state of a batch in steps of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ctrlnet.integrators.answering import Answers, Record
from ctrlnet.integrators.contract import Carry, Step
from ctrlnet.integrators.controls import Control, Judgement
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.moves import Keep, Move, Problem, require_uncoupled
from ctrlnet.integrators.rows import Rows, rows_of
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.integrators.solution import MINIMUM_STEP, NON_FINITE, RUNNING, STEP_LIMIT

_CROWD = 0.75  # the rows that still run are gathered once they are fewer than this share
_STRETCH = 1.01  # of a step that would end just before its target


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
        self.problem, self.control, self.separable = problem, control, separable
        self.timeless = problem.timeless
        self.forward = bool((instants[:, -1] > instants[:, 0]).all())
        self.multistep = bool(getattr(problem.method, "multistep", False))
        self.rows, self.record = rows_of(instants), Record.of(instants)
        self.answers = Answers(problem, events, keep, self.record, self.forward)
        self.tries, self.going = 0, True
        self.running: Tensor | None = None  # which rows have not ended, (r, 1); None for all of them

    def run(self, x: Tensor, carry: Carry) -> Record:
        """From x, and the carry before a first step, to the ends."""
        rows, near = self.rows, self.rows.t.to(x.dtype)
        if not self.separable:
            require_uncoupled(self.problem.rate, near, x)
        rows.x = x
        rows.h = self.control.first(self.problem, rows, self._target(rows) - rows.t)
        rows.carry = carry
        self.answers.begin(rows, near, rows.h.to(x.dtype))
        while self.going:
            rows = self._stepped(rows)
        self.record.enter(rows, self.tries)
        return self.record

    def _target(self, rows: Rows) -> Tensor:
        """Where the steps must not go beyond, (r, 1)."""
        return rows.following if self.control.lands else rows.instants[:, -1:]

    def _stepped(self, rows: Rows) -> Rows:
        """One step tried by every row; the rows that still run after it."""
        near = self._nears(rows)
        h, after = self._clipped(rows) if near else (rows.h, rows.t + rows.h)
        size, dtype = h.to(rows.x.dtype), rows.x.dtype
        done = self.problem.advance(None if self.timeless else rows.t.to(dtype), rows.x, size, rows.carry)
        judgement = self.control.judged(rows, h, done)
        moved = self._moved(judgement)
        if judgement.accepted is not None:
            after = torch.where(judgement.accepted, after, rows.t)
            if torch.is_grad_enabled() and self.separable:
                done = self._without_infinite(rows, h, done, judgement.accepted)
        if (near or self.answers.watches) and (moved is None or bool(moved.any())):
            move = Move(rows.index, rows.t.to(dtype), size, rows.x, rows.carry, done.x, done.carry, rows.fresh)
            self.answers.note(rows, move, h, after, moved)
        self._count(rows, judgement, moved)
        return self._next(rows, done, after, judgement)

    def _nears(self, rows: Rows) -> bool:
        """Some row may reach its next instant in this step, or stays because it has ended."""
        if self.running is not None:
            return True
        left = torch.add(rows.following - rows.t, rows.h, alpha=-_STRETCH)
        return not (float(left.min()) > 0 if self.forward else float(left.max()) < 0)

    def _moved(self, judgement: Judgement) -> Tensor | None:
        """Which rows go on by the step, (r, 1); None for all of them."""
        if self.running is None or judgement.accepted is None:
            return judgement.accepted if self.running is None else self.running
        return judgement.accepted & self.running

    def _clipped(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Steps cut at the target (or stretched to it by a hundredth, to leave no sliver), and the times after them.

        Rows that have ended stay where they are."""
        target = self._target(rows)
        if self.running is not None:
            target = torch.where(self.running, target, rows.t)
        left, most = target - rows.t, _STRETCH * rows.h
        last = left <= most if self.forward else left >= most
        return torch.where(last, left, rows.h), torch.where(last, target, rows.t + rows.h)

    def _without_infinite(self, rows: Rows, h: Tensor, done: Step, accepted: Tensor) -> Step:
        """The step with rows left out that became infinite: their derivatives would make NaN of every gradient."""
        chosen = accepted[:, 0].nonzero()[:, 0]
        if len(chosen) == 0 or bool(done.x.isfinite().all()):
            return done
        some, dtype = rows.of(chosen), rows.x.dtype
        again = self.problem.advance(some.t.to(dtype), some.x, h[chosen].to(dtype), some.carry)
        carry = None if again.carry is None else tuple(rows.x.index_copy(0, chosen, one) for one in again.carry)
        return Step(rows.x.index_copy(0, chosen, again.x), None, carry)

    def _count(self, rows: Rows, judgement: Judgement, moved: Tensor | None) -> None:
        """The steps taken and tried, and the ends of the rows that cannot go on."""
        self.tries += 1
        if moved is not None:
            rows.missed += ~moved[:, 0]
        if judgement.accepted is not None:
            rows.rejected += (rows.status == RUNNING) & ~judgement.accepted[:, 0]
        if judgement.stuck is not None or self.tries >= self.control.tries:
            self._end(rows, judgement)

    def _end(self, rows: Rows, judgement: Judgement) -> None:
        """The rows that cannot go on."""
        running, none = rows.status == RUNNING, torch.zeros_like(rows.status, dtype=torch.bool)
        stuck, infinite = (none if part is None else part[:, 0] for part in (judgement.stuck, judgement.infinite))
        spent = self.tries - rows.missed + rows.rejected >= self.control.tries
        status = torch.where(running & spent, STEP_LIMIT, rows.status)
        status = torch.where(running & stuck, MINIMUM_STEP, status)
        rows.status, rows.changed = torch.where(running & (stuck | spent) & infinite, NON_FINITE, status), True

    def _next(self, rows: Rows, done: Step, after: Tensor, judgement: Judgement) -> Rows:
        """The rows after the step: moved where it was accepted, without those that have finished."""
        x, carry, fresh = done.x, done.carry, False
        if carry is not None and isinstance(self.problem.method, RungeKutta):
            carry = carry[-1:]  # what its next step reads; the other stages are for dense output
        if judgement.accepted is not None:
            x = torch.where(judgement.accepted, x, rows.x)
            carry, fresh = self._mixed(rows, carry, after, x, judgement.accepted)
        before, proposed = rows.h, judgement.proposed
        rows.t, rows.x, rows.carry, rows.fresh = after, x, carry, fresh
        if rows.changed:
            rows, proposed = self._gathered(rows, proposed)
        return self._sized(rows, proposed, before) if self.going else rows

    def _gathered(self, rows: Rows, proposed: Tensor) -> tuple[Rows, Tensor]:
        """Those that still run, with those that have ended among them while these are few."""
        running, rows.changed = rows.status == RUNNING, False
        count = int(running.sum())
        self.running, self.going = None if count == len(running) else running[:, None], count > 0
        if not self.going or self.running is None or not self.separable or count > _CROWD * len(running):
            return rows, proposed
        self.record.enter(rows, self.tries)
        kept, self.running = running.nonzero()[:, 0], None
        return rows.of(kept), proposed[kept]

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
        rows.h = self.control.size(proposed, lambda: self._target(rows) - rows.t)
        if self.multistep:
            same = len(before) == len(rows.h) and torch.allclose(rows.h, before, rtol=1e-9, atol=0.0)
            if not same:
                rows.carry, rows.fresh = self.problem.begin(rows.t.to(rows.x.dtype), rows.x), True
        return rows
