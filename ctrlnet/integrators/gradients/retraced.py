"""gradient="checkpoint": a step is computed once more with its graph, and differentiated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctrlnet.integrators.compiled import CompiledPullback, repeated
from ctrlnet.integrators.gradients.capture import Standing
from ctrlnet.integrators.gradients.grid import Answers, Grid
from ctrlnet.integrators.gradients.walking import Pulled, differentiated, leaf
from ctrlnet.integrators.moves import Move, answered


class Retraced:
    """Differentiates the steps of a grid one by one: exact for every method.

    Where steps are compiled, so is a step with its derivative, unless a state within it was asked for.
    """

    def __init__(self, grid: Grid, known: Standing) -> None:
        self.grid, self.known = grid, known
        self._compiled = None
        if grid.problem.compiled and known.plain:
            self._compiled = CompiledPullback(grid.problem.method, grid.problem.given, known.inputs)

    def __call__(self, move: Move, end: Tensor, after: Sequence[Tensor], asked: Answers) -> Pulled:
        if self._compiled is None or move.fresh or any(one.theta is not None for one, _ in asked):
            return self._retraced(move, end, after, asked)
        for one, cotangent in asked:
            end = end + cotangent if one.which is None else end.index_add(0, one.which, cotangent)
        return _pulled(move, self._compiled(move.t, move.x, move.h, move.before, end, after, move.steps))

    def _retraced(self, move: Move, end: Tensor, after: Sequence[Tensor], asked: Answers) -> Pulled:
        problem, x = self.grid.local(move), leaf(move.x)
        before = tuple(leaf(one) for one in move.before or ())
        with torch.enable_grad(), self.known.context:
            carry = problem.begin(move.t, x) if move.fresh else (before or None)
            done = repeated(problem.method, problem.given, move.t, x, move.h, carry, move.steps)
            again = move._replace(x=x, before=carry, end=done.x, after=done.carry)
            outputs = [(answered(problem, again, one), cotangent) for one, cotangent in asked]
        outputs += [(done.x, end), *zip(done.carry or (), after, strict=False)]
        return _pulled(move, differentiated(outputs, [x, *before, *self.known.inputs], self.known))


def _pulled(move: Move, found: Sequence[Tensor | None]) -> Pulled:
    """The derivatives with respect to the state, the carry and the parameters, one after another, sorted."""
    x, *others = found
    count = len(move.before or ())
    before = [torch.zeros_like(move.x) if one is None else one for one in others[:count]]
    return Pulled(torch.zeros_like(move.x) if x is None else x, before, others[count:])
