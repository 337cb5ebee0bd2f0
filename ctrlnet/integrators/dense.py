"""The solution between the steps, as a function of time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.moves import Move, Problem, interpolated, taken
from ctrlnet.sets import Number, vector


@final
@dataclass(frozen=True, eq=False)
class Dense:
    """The solution as a function of time, piecewise by the accepted steps."""

    problem: Problem = field(repr=False)
    moves: Sequence[Move] = field(repr=False)
    batch: torch.Size
    first: float
    last: float

    def __call__(self, t: Tensor | Sequence[Number] | Number) -> Tensor:
        """States (k, ..., n) at the given instants [s], within what was integrated; (..., n) at a single number.

        A state of the batch that ended before an instant is NaN there.

        Raises:
            UsageError: an instant outside, or none (ShapeError: instants of another shape than (k,)).
        """
        if isinstance(t, (float, int, Fraction)) or (isinstance(t, Tensor) and t.ndim == 0):
            return self([float(t)])[0]
        instants = vector(t, "t")
        low, high = min(self.first, self.last), max(self.first, self.last)
        rounding = 1e-12 * (high - low)
        outside = instants[(instants < low - rounding) | (instants > high + rounding)].tolist()
        if outside:
            raise UsageError(f"t = {outside} lies outside the integrated interval [{low}, {high}].")
        if self.moves[0].rows is None:
            return torch.stack([self._shared(instant) for instant in instants.tolist()])
        return self._own(instants.to(self.moves[0].x.device))

    @property
    def _direction(self) -> float:
        return math.copysign(1.0, self.last - self.first)

    def _shared(self, t: float) -> Tensor:
        """All states in the one step that holds the instant."""
        sign = self._direction
        move = self.moves[max(bisect_right(self.moves, sign * t, key=lambda one: sign * float(one.t)) - 1, 0)]
        return interpolated(self.problem, move, (t - float(move.t)) / float(move.h))

    @cached_property
    def _table(self) -> tuple[Move, Tensor, Tensor]:
        """All steps as one, sorted by row and time; the row's first place among them; its starts (b, most steps)."""
        whole = _joined(self.moves)
        assert whole.rows is not None
        assert isinstance(whole.t, Tensor)
        order = torch.argsort(self._direction * whole.t[:, 0], stable=True)
        order = order[torch.argsort(whole.rows[order], stable=True)]
        whole = taken(whole, order)
        assert whole.rows is not None
        counts = torch.bincount(whole.rows, minlength=self.batch.numel())
        offsets = counts.cumsum(0) - counts
        starts = whole.t.new_full((self.batch.numel(), int(counts.max())), math.inf)  # type: ignore[union-attr]
        place = torch.arange(len(whole.rows), device=starts.device) - offsets[whole.rows]
        starts[whole.rows, place] = self._direction * whole.t[:, 0].detach()  # type: ignore[index]
        return whole, offsets, starts

    def _own(self, instants: Tensor) -> Tensor:
        """Every state in its own step."""
        whole, offsets, starts = self._table
        times = instants.to(whole.x.dtype).expand(len(starts), -1).contiguous()
        number = (torch.searchsorted(starts, self._direction * times, right=True) - 1).clamp(min=0)
        index = (offsets[:, None] + number).clamp(max=len(whole.x) - 1).flatten()
        move = taken(whole, index)
        theta = (times.reshape(-1, 1) - move.t) / move.h
        x = interpolated(self.problem, move, theta)
        gone = (theta > 1 + 1e-6) | (starts[:, :1].isinf().expand_as(times).reshape(-1, 1))
        x = x.masked_fill(gone, math.nan).reshape(len(starts), len(instants), -1)
        return x.transpose(0, 1).reshape(len(instants), *self.batch, -1)


def _joined(moves: Sequence[Move]) -> Move:
    """The steps of all rows one after another; carries only where all steps have the same."""
    lengths = {None if move.after is None else len(move.after) for move in moves}
    after = None
    if len(lengths) == 1 and (count := lengths.pop()):
        after = tuple(torch.cat([move.after[i] for move in moves if move.after is not None]) for i in range(count))
    rows, t, h, x, end = (torch.cat([getattr(move, name) for move in moves]) for name in ("rows", "t", "h", "x", "end"))
    return Move(rows, t, h, x, None, end, after, False)
