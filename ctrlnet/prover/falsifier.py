"""States that refute a claim, or bound its level from above: evidence, and certain where interval arithmetic agrees."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctrlnet.graph import evaluate
from ctrlnet.prover.directions import worst_directions
from ctrlnet.prover.goals import Goal, Problem

SAMPLES = 1 << 12  # a dimension
ROUNDS, BEST, MOVES = 16, 64, 24
DISTANCES = 10.0 ** -torch.arange(7, dtype=torch.float64)  # from x*, over that to the box


class Falsifier:
    """What states have shown so far.

    ceiling: no level above it can be true; the level asked for, or the least V at a state that violates a goal.
    worst: the state behind the ceiling, or the one that refutes the claim.
    sampled: the least V at a state that violates the claim, at any level.
    refuted: a state certainly violates a goal that no level excuses, or one below the level asked for.
    hopeless: at such a state the bounds of the computed inputs do not show the goal, which no split will change.
    """

    def __init__(self, problem: Problem, level: float | None):
        self.problem, self.level = problem, level
        self.worst: Tensor | None = None
        self.sampled, self.refuted, self.hopeless = math.inf, False, False
        self.ceiling = math.inf if level is None else level

    def sample(self) -> None:
        """Uniform states of every goal's box, and where these leave most of it empty the states that `_approach`."""
        generator = torch.Generator().manual_seed(0)
        for goal in self.problem.goals:
            n, width = len(goal.lower), goal.upper - goal.lower
            count = n * (SAMPLES >> 4 if goal.face else SAMPLES)
            x = goal.lower + width * torch.rand(count, n, generator=generator, dtype=torch.float64)
            self.look(goal, x)
            if n > 2 and goal.margins and self.problem.extend is None:
                self._approach(goal, x, generator)

    def _approach(self, goal: Goal, x: Tensor, generator: torch.Generator) -> None:
        """Move the states nearest to a violation at random, less and less, and keep the nearest of all."""
        for k in range(ROUNDS):
            best = x[self._distance(goal, x).argsort()[:BEST]]
            step = torch.randn(MOVES, *best.shape, generator=generator, dtype=torch.float64)
            moved = best + 0.2 * 0.7**k * (goal.upper - goal.lower) * step
            moved = torch.minimum(torch.maximum(moved, goal.lower), goal.upper).flatten(0, 1)
            self.look(goal, moved)
            x = torch.cat((best, moved))

    def near_equilibrium(self) -> tuple[Tensor, float] | None:
        """A state near x* that certainly violates the claim, and a level of V that it does not exceed; None if none.

        One at each of several distances is tried; of those that do it, the one of the least level is given. Not where
        inputs are computed: there single states show nothing.
        """
        goal = next((goal for goal in self.problem.goals if goal.local), None)
        if self.problem.about is None or goal is None or self.problem.extend is not None:
            return None
        about, n, most = self.problem.about, len(self.problem.about), math.inf if self.level is None else self.level
        reach = torch.minimum(about - goal.lower[:n], goal.upper[:n] - about)

        def states(u: Tensor) -> Tensor:
            x = about + DISTANCES[:, None, None] * reach * u[..., :n]
            z = torch.cat((x, goal.lower[n:] + (goal.upper - goal.lower)[n:] * u[..., n:]), -1)
            return torch.minimum(torch.maximum(z, goal.lower), goal.upper)

        def score(u: Tensor) -> Tensor:
            _, value, margin = self._seen(goal, states(u).flatten(0, 1))
            assert value is not None
            return torch.where(value <= most, margin / value.abs(), math.inf).reshape(u.shape[:-1])

        u, least = worst_directions(score, len(DISTANCES), n, len(goal.lower) - n)
        found = [self._below(goal, x) for x in states(u[:, None])[least < 0, 0]]
        return min((pair for pair in found if pair is not None), key=lambda pair: pair[1], default=None)

    def _below(self, goal: Goal, x: Tensor) -> tuple[Tensor, float] | None:
        """x with the level asked for, or with one just above V(x), if that claim is certainly false at x."""
        _, value, _ = self._seen(goal, x[None])
        assert value is not None
        above = float(value + 1e-5 * value.abs())
        level = float(f"{above:.6g}") if self.level is None else self.level
        return (x, level) if self.problem.violated(goal, x, level) else None

    def look(self, goal: Goal, x: Tensor) -> None:
        """Lower the ceiling to the least V at a state (count, N) that violates the goal; keep that state."""
        if not len(x):
            return
        bad, value, _ = self._seen(goal, x)
        if value is None:
            self._refute(goal, x[bad][:16])
            return
        value = torch.where(bad & ~value.isnan(), value, math.inf)
        worst = int(value.argmin())
        self.sampled = min(self.sampled, float(value[worst]))
        if self.level is not None and value[worst] <= self.level:
            self._refute(goal, x[worst][None])
        elif self.level is None and value[worst] < self.ceiling:
            self.ceiling, self.worst = float(value[worst]), x[worst]

    def _seen(self, goal: Goal, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Which states violate the goal, V if it is levelled, and the least margin, NaN where nothing is asked."""
        nodes, value_node = self.problem.nodes(goal)
        found = dict(zip(nodes, evaluate(self.problem.graph, nodes, self.problem.probes(x)), strict=True))
        margins = [found[m][..., 0].nan_to_num(math.inf).amin(0) for m in goal.margins]
        margin = torch.stack(margins or [torch.zeros_like(x[:, 0])]).amin(0)
        asked = torch.stack([found[w][0, :, 0] <= 0 for w in goal.where] or [margin == margin]).all(0)
        if goal.local and self.problem.about is not None:
            asked &= (x[:, : len(self.problem.about)] != self.problem.about).any(-1)
        value = None if value_node is None else found[value_node][0, :, 0]
        return asked & (margin <= 0), value, torch.where(asked, margin, math.nan)

    def _distance(self, goal: Goal, x: Tensor) -> Tensor:
        """The smaller, the nearer to a violation of small V: below zero for violations, by V; else the margin, by V."""
        bad, value, margin = self._seen(goal, x)
        if value is None:
            return margin.nan_to_num(math.inf)
        relative = torch.where(value <= self.ceiling, margin / value, math.inf)
        return torch.where(bad, -1 / (1 + value.clamp(min=0.0)), relative).nan_to_num(math.inf)

    def _refute(self, goal: Goal, states: Tensor) -> None:
        for x in states:
            found = self.problem.violated(goal, x, self.level)
            if found is not False:
                self.refuted, self.hopeless, self.worst = bool(found), found is None, x
                return
