"""States that refute a claim, or bound its level from above: evidence, and certain where interval arithmetic agrees."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctrlnet.graph import evaluate
from ctrlnet.prover.goals import Goal, Problem

SAMPLES = 1 << 12  # a dimension


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
        """Uniform states of every goal's box."""
        generator = torch.Generator().manual_seed(0)
        for goal in self.problem.goals:
            n = len(goal.lower)
            count = n * (SAMPLES >> 4 if goal.face else SAMPLES)
            share = torch.rand(count, n, generator=generator, dtype=torch.float64)
            self.look(goal, goal.lower + (goal.upper - goal.lower) * share)

    def look(self, goal: Goal, x: Tensor) -> None:
        """Lower the ceiling to the least V at a state (count, N) that violates the goal; keep that state."""
        if not len(x):
            return
        nodes, value_node = self.problem.nodes(goal)
        found = dict(zip(nodes, evaluate(self.problem.graph, nodes, self._inputs(x)), strict=True))
        bad = torch.stack([found[m][:, 0] <= 0 for m in goal.margins] or [torch.ones(len(x), dtype=torch.bool)]).any(0)
        bad &= torch.stack([found[w][:, 0] <= 0 for w in goal.where] or [bad]).all(0)
        if goal.local and self.problem.about is not None:
            bad &= (x[:, : len(self.problem.about)] != self.problem.about).any(-1)
        if value_node is None:
            self._refute(goal, x[bad][:16])
            return
        value = torch.where(bad & ~found[value_node][:, 0].isnan(), found[value_node][:, 0], math.inf)
        worst = int(value.argmin())
        self.sampled = min(self.sampled, float(value[worst]))
        if self.level is not None and value[worst] <= self.level:
            self._refute(goal, x[worst][None])
        elif self.level is None and value[worst] < self.ceiling:
            self.ceiling, self.worst = float(value[worst]), x[worst]

    def _refute(self, goal: Goal, states: Tensor) -> None:
        for x in states:
            found = self.problem.violated(goal, x, self.level)
            if found is not False:
                self.refuted, self.hopeless, self.worst = bool(found), found is None, x
                return

    def _inputs(self, x: Tensor) -> Tensor:
        if self.problem.extend is None:
            return x
        lower, upper = self.problem.extend(x, x)
        return 0.5 * lower + 0.5 * upper
