"""gradient="reversible": the states before the last one are found again by the inverse of the step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.contract import Carry
from ctrlnet.integrators.gradients.grid import Grid
from ctrlnet.integrators.moves import Move

_GROWTH = 1e3  # of rounding between two anchors, in methods that say how much `back` amplifies it


def spacing(method: object) -> float:
    """The most steps between two anchors."""
    growth = math.log(getattr(method, "backward_growth", 1.0))
    return max(1.0, math.log(_GROWTH) // growth) if growth > 0 else math.inf


@final
class Anchors:
    """States and carries after some steps: the last, those before a method begins anew, and some between them
    where rounding would grow too much on the way back."""

    def __init__(self, grid: Grid, ends: set[int]) -> None:
        self.grid, self._ends, self._since = grid, ends, 0
        self._spacing = spacing(grid.problem.method)
        self._kept = dict[int, tuple[Tensor, Carry]]()

    def see(self, move: Move) -> None:
        """Look at the step that was just made."""
        number = len(self.grid.moves)
        self._since += 1
        if number in self._ends or self._since >= self._spacing:
            self._kept[number], self._since = (move.end, move.after), 0

    def moves(self) -> Iterator[Move]:
        """The steps with their states, last first.

        Raises:
            UsageError: the way back does not lead to the states that are known.
        """
        problem, moves = self.grid.problem, self.grid.moves
        x, carry = self.grid.start, None
        for number in reversed(range(len(moves))):
            move = moves[number]
            if (anchor := self._kept.get(number)) is not None:
                _require_near(x, anchor[0], known=number == len(moves) - 1)
                x, carry = anchor
            with torch.no_grad():
                before = problem.method.back(problem.given, move.t, x, move.h, carry)  # type: ignore[attr-defined]
            yield move._replace(x=before.x, before=None if move.fresh else before.carry, end=x, after=carry)
            x, carry = before.x, before.carry
        _require_near(x, self.grid.start)


def _require_near(x: Tensor, anchor: Tensor, known: bool = False) -> None:
    error = 0.0 if known else float((x - anchor).abs().max())
    if not error <= torch.finfo(x.dtype).eps ** 0.5 * max(1.0, float(anchor.abs().max())):
        raise UsageError(
            f"The states could not be recovered on the way back: they are off by {error:.1e}, because nearby solutions "
            "part too fast in that direction of time. Use gradient='checkpoint' (or 'symplectic_adjoint' with a "
            "Runge-Kutta method), or shorter intervals."
        )
