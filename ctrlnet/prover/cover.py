"""Branch and bound that ends at the first box which a midpoint refutes: claims without a level, as along rays."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ctrlnet.graph import Graph, evaluate
from ctrlnet.prover.budget import Budget
from ctrlnet.prover.forest import PROVED, Forest, halved, splittable
from ctrlnet.prover.slope import slope_bounds

BATCH = 2048


class Cover:
    """Branch and bound along the first axes: every leaf has all outputs positive, whatever the unknowns."""

    def __init__(self, graph: Graph, outputs: list[int], forest: Forest, axes: int, budget: Budget):
        self.graph, self.outputs, self.forest, self.axes, self.budget = graph, outputs, forest, axes, budget
        self.bounded, self.started = 0, time.perf_counter()
        self.width = (forest.upper - forest.lower).amax(0).clamp(min=1e-300)

    def run(self) -> bool:
        """True when every leaf is proved; False when a midpoint refutes, or the budget is spent."""
        nodes, lower, upper = torch.arange(len(self.forest)), self.forest.lower, self.forest.upper
        while len(nodes):
            if time.perf_counter() - self.started > self.budget.seconds or self.bounded >= self.budget.boxes:
                return False
            part, rest = slice(-BATCH, None), slice(None, -BATCH)
            open_, axis = self._bounded(nodes[part], lower[part], upper[part])
            if open_ is None or not bool(self._splittable(lower[part][open_], upper[part][open_]).any(-1).all()):
                return False
            children = self.forest.split(nodes[part][open_], axis)
            halves = halved(lower[part][open_], upper[part][open_], axis)
            nodes = torch.cat((nodes[rest], children))
            lower, upper = torch.cat((lower[rest], halves[0])), torch.cat((upper[rest], halves[1]))
        return True

    def _bounded(self, nodes: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which boxes are open and the axis to split each along; None where a midpoint refutes the claim."""
        self.bounded += len(nodes)
        forms = slope_bounds(self.graph, self.outputs, lower, upper)
        good = torch.stack([form.range.lower[:, 0] > 0 for form in forms])
        proved = good.all(0)
        self.forest.settle(nodes[proved], PROVED)
        open_ = (~proved).nonzero().flatten()
        middle = 0.5 * (lower + upper)[open_]
        values = torch.cat(evaluate(self.graph, self.outputs, middle), 1) if len(open_) else torch.ones(1, 1)
        if bool((values <= 0).any()):
            return None, open_
        share = ((upper - lower) / self.width)[open_]
        doubt = torch.zeros_like(share)
        for form, settled in zip(forms, good, strict=True):
            slopes = form.terms[open_, 1:, 0].abs().nan_to_num(0.0, 0.0, 0.0)
            rest = form.remainder[open_].nan_to_num(0.0, 0.0, 0.0) + 0.1 * slopes.sum(-1, keepdim=True) + 1e-300
            doubt += torch.where(settled[open_, None], 0.0, slopes + rest * share)
        allowed = self._splittable(lower[open_], upper[open_])
        return open_, doubt.masked_fill(~allowed, -1.0).argmax(-1)

    def _splittable(self, lower: Tensor, upper: Tensor) -> Tensor:
        return splittable(lower, upper) & (torch.arange(lower.shape[-1]) < self.axes)
