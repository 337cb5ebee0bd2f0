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
from ctrlnet.integrators.sensitivity import varied
from ctrlnet.sets import Number, vector


@final
@dataclass(frozen=True, eq=False)
class Dense:
    """The solution as a function of time, piecewise by the accepted steps.

    Attributes:
        starts, ends: where that of each state of the batch, flattened, begins and ends [s], (b,).
        constant: it has no derivatives: the steps were taken without, or the way to them is not autograd's.
    """

    problem: Problem = field(repr=False)
    moves: Sequence[Move] = field(repr=False)
    batch: torch.Size
    starts: Tensor = field(repr=False)
    ends: Tensor = field(repr=False)
    constant: bool = field(repr=False)

    @property
    def first(self) -> float:
        """Where the first state begins [s]."""
        return float(self.starts.min() if self._direction > 0 else self.starts.max())

    @property
    def last(self) -> float:
        """Where the last one ends [s]."""
        return float(self.ends.max() if self._direction > 0 else self.ends.min())

    def __call__(self, t: Tensor | Sequence[Number] | Number) -> Tensor:
        """States (k, ..., n) at the given instants [s], within what was integrated; (..., n) at a single number.

        A state of the batch that ended before an instant, or had not begun, is NaN there. Derivatives are those of
        gradient="backprop"; with another one the states are constants.

        Raises:
            UsageError: an instant outside, or none (ShapeError: instants of another shape than (k,)).
        """
        if isinstance(t, Tensor) and t.ndim == 0:
            return self(t[None])[0]
        if isinstance(t, (float, int, Fraction)):
            return self([float(t)])[0]
        instants = t.to(vector(t, "t")) if isinstance(t, Tensor) else vector(t, "t")  # with its derivatives
        low, high = min(self.first, self.last), max(self.first, self.last)
        outside = instants[(instants < low - self._rounding) | (instants > high + self._rounding)].tolist()
        if outside:
            raise UsageError(f"t = {outside} lies outside the integrated interval [{low}, {high}].")
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.constant):
            if self.moves[0].rows is None:
                single = list(instants) if varied(instants) else instants.tolist()
                return torch.stack([self._shared(one) for one in single])
            return self._own(instants.to(self.starts))

    @property
    def _direction(self) -> float:
        return 1.0 if bool((self.ends >= self.starts).all()) else -1.0

    @property
    def _rounding(self) -> float:
        """Of times [s]."""
        return 1e-12 * abs(self.last - self.first) + 1e-15 * max(abs(self.last), abs(self.first))

    def _shared(self, t: Tensor | float) -> Tensor:
        """All states in the one step that holds the instant."""
        sign, at = self._direction, float(t.detach() if isinstance(t, Tensor) else t)
        number = bisect_right(self.moves, sign * at, key=lambda one: sign * float(one.t)) - 1
        move = self.moves[max(number, 0)]
        theta = (t - float(move.t)) / float(move.h)
        return interpolated(self.problem, move, theta.to(move.x) if isinstance(theta, Tensor) else theta)

    @cached_property
    def _table(self) -> tuple[Move, Tensor, Tensor, Tensor]:
        """All steps as one, sorted by row and time, and when each begins; the row's first place among them; when the
        steps of each row begin, for a search (b, most steps)."""
        whole = _joined(self.moves)
        assert whole.rows is not None
        whole = taken(whole, torch.argsort(whole.rows, stable=True))  # in the order of time already
        rows = whole.rows
        assert rows is not None
        assert isinstance(whole.h, Tensor)
        counts = torch.bincount(rows, minlength=self.batch.numel())
        offsets = counts.cumsum(0) - counts
        before = whole.h[:, 0].detach().double().cumsum(0) - whole.h[:, 0].detach()  # times in single precision are not
        begins = self.starts[rows] + (before - before[offsets[rows]])  # good enough far from zero
        starts = begins.new_full((len(counts), int(counts.max())), math.inf)
        starts[rows, torch.arange(len(rows), device=rows.device) - offsets[rows]] = self._direction * begins
        return whole, begins, offsets, starts

    def _own(self, instants: Tensor) -> Tensor:
        """Every state in its own step."""
        whole, begins, offsets, starts = self._table
        sign, times = self._direction, instants[:, None].expand(-1, len(starts))  # (k, b)
        number = torch.searchsorted(starts, (sign * times).T.contiguous(), right=True).T - 1
        index = (offsets + number.clamp(min=0)).clamp(max=len(begins) - 1)
        first, last = (sign * one for one in (self.starts - sign * self._rounding, self.ends + sign * self._rounding))
        gone = (sign * times < first) | (sign * times > last) | starts[:, 0].isinf()
        parts = [(index.flatten(), times.flatten())] if self._own_polynomials else zip(index, times, strict=True)
        x = torch.cat([self._within(whole, begins, *one) for one in parts]).reshape(*index.shape, -1)
        return x.masked_fill(gone[..., None], math.nan).reshape(len(instants), *self.batch, -1)

    @cached_property
    def _own_polynomials(self) -> bool:
        """The method needs no field between its steps, which may only be able to answer for the whole batch at once."""
        own, move = getattr(self.problem.method, "interpolate", None), self.moves[0]
        return own is not None and own(move.x, move.h, move.after, 0.5) is not None

    def _within(self, whole: Move, begins: Tensor, index: Tensor, times: Tensor) -> Tensor:
        """The states at these times in these of all steps, (r, n)."""
        move = taken(whole, index)
        assert isinstance(move.h, Tensor)
        theta = ((times - begins[index])[:, None] / move.h.detach()).clamp(0.0, 1.0)
        return interpolated(self.problem, move, theta.to(move.x.dtype))


def _joined(moves: Sequence[Move]) -> Move:
    """The steps of all rows one after another; carries only where all steps have the same."""
    lengths = {None if move.after is None else len(move.after) for move in moves}
    after = None
    if len(lengths) == 1 and (count := lengths.pop()):
        after = tuple(torch.cat([move.after[i] for move in moves if move.after is not None]) for i in range(count))
    rows, t, h, x, end = (torch.cat([getattr(move, name) for move in moves]) for name in ("rows", "t", "h", "x", "end"))
    return Move(rows, t, h, x, None, end, after, False)
