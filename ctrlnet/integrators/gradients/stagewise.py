"""gradient="symplectic_adjoint": the exact derivative of a Runge-Kutta step with the graph of one evaluation at a time.

With λ the derivative with respect to the state after a step, and for i = s, ..., 1

    w_i = h (b_i λ + Σ_{j>i} a_ji G_j),   G_i = (∂f/∂x)ᵀ w_i at stage i,   dθ += (∂f/∂θ)ᵀ w_i,   λ₋ = λ + Σ G_i.

Where all b_i ≠ 0 this is the Runge-Kutta method for the adjoint equation whose pair with the forward one conserves
<λ, δ> for every tangent δ; the form above also holds where some b_i = 0.

Source: Sanz-Serna, Symplectic Runge-Kutta schemes for adjoint equations, automatic differentiation, optimal control,
and more, 2016; Matsubara, Miyatake and Yaguchi, Symplectic adjoint method for exact gradient of neural ODE, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctrlnet.integrators.gradients.capture import Standing
from ctrlnet.integrators.gradients.grid import Answers, Grid
from ctrlnet.integrators.gradients.walking import Pulled, Totals, differentiated, leaf
from ctrlnet.integrators.moves import Move, Problem, answered
from ctrlnet.integrators.runge_kutta import RungeKutta, advance
from ctrlnet.integrators.tableau import Tableau


class Stagewise:
    """Differentiates Runge-Kutta steps stage by stage."""

    def __init__(self, grid: Grid, known: Standing) -> None:
        assert isinstance(grid.problem.method, RungeKutta)
        self.grid, self.known, self.table = grid, known, grid.problem.method.tableau

    def __call__(self, move: Move, end: Tensor, after: Sequence[Tensor], asked: Answers) -> Pulled:
        problem, table, total = self.grid.local(move), self.table, Totals(len(self.known.inputs))
        within = any(one.theta is not None for one, _ in asked)
        points, stages = points_and_stages(problem, self.table, move, all_of_them=within)
        x, end, extra = self._answers(problem, move, stages, end, asked, total)
        pulled: dict[int, Tensor] = {}
        for i in reversed(range(len(stages))):
            later = [(table.b[i], end), *((table.a[j][i], one) for j, one in pulled.items())]
            parts = [move.h * (float(weight) * one) for weight, one in later if weight]
            parts += [one for one in (extra[i],) if one is not None]
            if parts:
                t = move.t + table.c[i] * move.h
                pulled[i] = self._stage(problem, t, points[i], sum(parts[1:], parts[0]), total)
        return Pulled(sum(pulled.values(), x + end), (), total.sums)

    def _stage(self, problem: Problem, t: float | Tensor, point: Tensor, weight: Tensor, total: Totals) -> Tensor:
        """(∂f/∂x)ᵀ w; adds (∂f/∂θ)ᵀ w to the total."""
        y = leaf(point)
        with torch.enable_grad(), self.known.context:
            slope = problem.rate(t, y)
        found, *gradients = differentiated([(slope, weight)], [y, *self.known.inputs], self.known)
        total.add(gradients)
        return torch.zeros_like(y) if found is None else found

    def _answers(
        self, problem: Problem, move: Move, stages: list[Tensor], end: Tensor, asked: Answers, total: Totals
    ) -> tuple[Tensor, Tensor, list[Tensor | None]]:
        """Derivatives with respect to the state before, the state after and the stages, with those of the answers."""
        plain = [one.which is None and one.theta is None for one, _ in asked]
        end = sum((cotangent for (_, cotangent), ends in zip(asked, plain, strict=True) if ends), end)
        asked = [one for one, ends in zip(asked, plain, strict=True) if not ends]
        if not asked:
            return torch.zeros_like(end), end, [None] * len(stages)
        x, last, slopes = leaf(move.x), leaf(advance(move.x, move.h, self.table.b, stages)), [*map(leaf, stages)]
        with torch.enable_grad(), self.known.context:
            carry = tuple(slopes) if self.table.dense is not None else None
            again = move._replace(x=x, end=last, after=carry)
            outputs = [(answered(problem, again, one), cotangent) for one, cotangent in asked]
        found = differentiated(outputs, [x, last, *slopes, *self.known.inputs], self.known)
        total.add(found[2 + len(slopes) :])
        start, final = (torch.zeros_like(x) if one is None else one for one in found[:2])
        return start, end + final, list(found[2 : 2 + len(slopes)])


@torch.no_grad()
def points_and_stages(
    problem: Problem, table: Tableau, move: Move, all_of_them: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Y_i and k_i of a step; without the last ones where their weights are zero, unless all are wanted."""
    needed = max(i for i, weight in enumerate(table.b) if weight or all_of_them) + 1
    points, stages = list[Tensor](), list[Tensor]()
    for node, row in zip(table.c[:needed], table.a[:needed], strict=True):
        points.append(advance(move.x, move.h, row, stages))
        stages.append(problem.rate(move.t + node * move.h, points[-1]))
    return points, stages
