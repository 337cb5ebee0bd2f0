"""The accepted steps of an integration, taken as constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from ctrlnet.integrators.compiled import repeated, stepping
from ctrlnet.integrators.marching import Journey, separable
from ctrlnet.integrators.moves import Asked, Move, Problem, answered
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.systems.fields import Time

Wanted = Callable[[Asked], Tensor]
Answers = list[tuple[Asked, Tensor]]


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """Where and when an integration starts, and its steps.

    Attributes:
        problem: what is integrated, in the batch's own shape where all states share their steps, else flat.
        start: the initial states, (..., n) or (b, n).
        t: the initial time, a number or (b, 1).
        instants: how many.
        shared: all states take the same steps.
        moves: the steps; what is not needed of them is empty.
    """

    problem: Problem
    start: Tensor
    t: Time
    instants: int
    shared: bool
    moves: list[Move]

    @property
    def begins(self) -> bool:
        """The method has a carry that matters: a Runge-Kutta method's last stage is f at the next state again."""
        return not isinstance(self.problem.method, RungeKutta)

    def wanted(self, cotangent: Tensor) -> Wanted:
        """What answers there are in the flat ones (t b + crossings, n), or their cotangents."""
        if self.shared:
            whole = cotangent.reshape(self.instants, *self.start.shape)
            return lambda asked: whole[asked.slots]
        return lambda asked: cotangent[asked.slots]

    @property
    def first(self) -> Asked:
        """The start among the answers."""
        if self.shared:
            return Asked(None, None, 0)
        return Asked(None, None, torch.arange(len(self.start), device=self.start.device))

    def local(self, move: Move) -> Problem:
        """The problem as the rows of a step see it, also where the field cannot be asked about some rows alone."""
        rows, batch = move.rows, self.start
        if rows is None or len(rows) == len(batch) or self.problem.method.needs != "Field" or self._separable:
            return self.problem
        chosen, start, whole = rows, self.t, self.problem.rate

        def rate(t: Time, x: Tensor) -> Tensor:
            if isinstance(t, Tensor) and isinstance(start, Tensor) and t.ndim:
                t = start.index_copy(0, chosen, t)
            return whole(t, batch.index_copy(0, chosen, x))[chosen]

        method = self.problem.method
        return Problem(method, rate, rate, stepping(method, rate, rate, False), self.problem.field)

    @cached_property
    def _separable(self) -> bool:
        assert isinstance(self.t, Tensor)
        return separable(self.problem.rate, self.t, self.start, self.problem.slope(self.t, self.start, None))

    def replayed(self, start: Tensor) -> Answers:
        """All answers once more, with the derivatives of the operations."""
        x, answers = start, [(self.first, start)]
        carry = self.problem.begin(self.t, start) if self.begins else None
        for move in self.moves:
            problem, here = self.local(move), _of(move.rows, x)
            before = None if carry is None or not self.begins else tuple(_of(move.rows, one) for one in carry)
            before = problem.begin(move.t, here) if move.fresh else before
            done = repeated(problem.method, problem.given, move.t, here, move.h, before, move.steps)
            again = move._replace(x=here, before=before, end=done.x, after=done.carry)
            answers += [(asked, answered(problem, again, asked)) for asked in move.asked]
            x = _put(move.rows, x, done.x)
            if self.begins and done.carry is not None:
                olds = (*(carry or ()), *(torch.zeros_like(x) for _ in done.carry))
                carry = tuple(_put(move.rows, old, new) for old, new in zip(olds, done.carry, strict=False))
        return answers


def grid_of(journey: Journey, x: Tensor) -> Grid:
    """The grid, without steps as yet."""
    if journey.shared:
        return Grid(journey.problem, x.detach(), float(journey.instants[0]), len(journey.instants), True, [])
    flat, first = x.detach().reshape(-1, x.shape[-1]), journey.instants[0].reshape(-1, 1).to(x)
    problem = journey.problem.in_batch(x.shape[:-1])
    return Grid(problem, flat, first.expand(len(flat), 1), len(journey.instants), False, [])


def bare(move: Move) -> Move:
    """When and how far, without the states."""
    nothing = move.x.new_empty(0)
    return move._replace(x=nothing, before=None, end=nothing, after=None)


def _of(rows: Tensor | None, x: Tensor) -> Tensor:
    return x if rows is None else x[rows]


def _put(rows: Tensor | None, x: Tensor, new: Tensor) -> Tensor:
    return new if rows is None else x.index_copy(0, rows, new)
