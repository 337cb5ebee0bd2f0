"""Branch and bound for a level: which boxes are proved, which lie above it, and the largest level that leaves none
open.

Every box of the forest is proved (margin > 0 and V > 0 on it), inside the equilibrium's neighbourhood, above the
level, or open. An open box only asks that the level be below its least V. So the level need not be known beforehand:
the search splits the open boxes of least V until they stand within `tolerance` of `ceiling`, the least V known at a
state that violates the statement or lies on the boundary of the box, and the level is then the least V over the open
boxes: the proof so far is a proof at whatever moment it stops.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ctrlnet.graph import evaluate
from ctrlnet.prover.budget import Budget
from ctrlnet.prover.equilibrium import Neighbourhood, center
from ctrlnet.prover.forest import EXCLUDED, LOCAL, OPEN, PROVED, Forest
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.slope import slope_bounds

BATCH = 4096
RESERVE = 1e-3  # of the level: what the checker may lose against us in bounding V
SAMPLES = 1 << 15


@dataclass
class Search:
    """State of a search over the 1 + 2n trees: the box itself, then its lower and upper face along each axis."""

    loop: Loop
    lower: Tensor
    upper: Tensor
    local: Neighbourhood
    level: float | None = None
    tolerance: float = 0.005
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        self.n, self.about = self.loop.graph.dimension, center(self.loop)
        self.started = time.perf_counter()
        self.bounded = 0
        self.worst: Tensor | None = None  # the state behind the ceiling
        self.sampled = math.inf  # the least V at a state that violates the statement, at any level
        self.ceiling = math.inf if self.level is None else self.level
        self.forest = Forest(*_roots(self.lower, self.upper))
        self.least = torch.full((1 + 2 * self.n,), -math.inf, dtype=torch.float64)
        self.guide = torch.zeros(1 + 2 * self.n, self.n, dtype=torch.float64)
        self._sample()
        self._classify(torch.arange(1 + 2 * self.n))

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def run(self) -> float:
        """Split until every open box is near the ceiling or the budget is spent; the level that is proved (0: none)."""
        while len(active := self._active()) and self._affordable():
            axis = self.guide[active].masked_fill(~self.forest.splittable(active), -math.inf).argmax(-1)
            children = self.forest.split(active, axis)
            self.least = torch.cat((self.least, self.least[active].repeat_interleave(2)))
            self.guide = torch.cat((self.guide, self.guide[active].repeat_interleave(2, 0)))
            self._classify(children)
        return self._settle()

    def _affordable(self) -> bool:
        refuted = self.level is not None and self.worst is not None
        return not refuted and self.seconds < self.budget.seconds and self.bounded < self.budget.boxes

    def _active(self) -> Tensor:
        """The open boxes whose least V stands in the way, those of least V first."""
        target = self.ceiling if self.level is not None else (1 - self.tolerance) * self.ceiling
        boxes = ((self.forest.kind == OPEN) & ~(self.least > target)).nonzero().flatten()
        boxes = boxes[self.forest.splittable(boxes).any(-1)]
        return boxes[self.least[boxes].argsort()[:BATCH]]

    def _classify(self, boxes: Tensor) -> None:
        """Bound V and the margin on boxes, settle what is proved, inside the neighbourhood or above the ceiling."""
        lower, upper = self.forest.lower[boxes], self.forest.upper[boxes]
        value, margin = slope_bounds(self.loop.graph, [self.loop.value, self.loop.margin], lower, upper)
        self.bounded += len(boxes)
        inner = self.forest.root[boxes] == 0
        good = inner & (margin.range.lower[:, 0] > 0) & (value.range.lower[:, 0] > 0)
        local = inner & self.local.contains(lower, upper)
        self.least[boxes] = torch.maximum(self.least[boxes], value.range.lower[:, 0].nan_to_num(-math.inf))
        kind = torch.where(self.least[boxes] > self.ceiling, EXCLUDED, OPEN)
        kind = torch.where(local, LOCAL, torch.where(good, PROVED, kind))
        self.forest.kind[boxes] = kind.to(torch.int8)
        self.guide[boxes] = self._smear(value.terms, margin.terms, margin.remainder, lower, upper)
        rest = (kind == OPEN).nonzero().flatten()
        self._falsify(0.5 * lower[rest] + 0.5 * upper[rest], ~inner[rest])

    def _smear(self, value: Tensor, margin: Tensor, remainder: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """How much each axis contributes to the uncertainty: of the margin where it may be proved, of V elsewhere."""
        hopeful = (margin[:, 0] > 0) & torch.isfinite(remainder)
        slopes = torch.where(hopeful, margin[:, 1:, 0], value[:, 1:, 0]).abs().nan_to_num(0.0)
        share = (upper - lower) / (self.upper - self.lower)
        total = slopes.sum(-1, keepdim=True)
        floor = torch.where(hopeful, remainder.nan_to_num(0.0, 0.0, 0.0), 0.0) + 0.1 * total
        return slopes + floor * share / share.sum(-1, keepdim=True).clamp(min=1e-300)

    def _falsify(self, x: Tensor, boundary: Tensor) -> None:
        """Lower the ceiling to the least V at a state that violates the statement; keep that state."""
        if not len(x):
            return
        value, margin = (part[:, 0] for part in evaluate(self.loop.graph, [self.loop.value, self.loop.margin], x))
        bad = (boundary | (margin <= 0) | (value <= 0)) & (x != self.about).any(-1)
        value = torch.where(bad, value, math.inf)
        worst = int(value.argmin())
        self.sampled = min(self.sampled, float(value[worst]))
        if value[worst] < self.ceiling or (self.level is not None and value[worst] <= self.level):
            self.ceiling, self.worst = min(self.ceiling, float(value[worst])), x[worst]

    def _sample(self) -> None:
        """A first ceiling from uniform states of the box and of its faces."""
        generator = torch.Generator().manual_seed(0)
        x = self.lower + (self.upper - self.lower) * torch.rand(
            SAMPLES, self.n, generator=generator, dtype=torch.float64
        )
        self._falsify(x, torch.zeros(SAMPLES, dtype=torch.bool))
        for lower, upper in zip(self.forest.lower[1:], self.forest.upper[1:], strict=True):
            face = lower + (upper - lower) * torch.rand(SAMPLES >> 4, self.n, generator=generator, dtype=torch.float64)
            self._falsify(face, torch.ones(len(face), dtype=torch.bool))

    def _settle(self) -> float:
        """The level below every open box, which are excluded by it."""
        open_boxes = self.forest.kind == OPEN
        least = float(self.least[open_boxes].min()) if open_boxes.any() else math.inf
        if self.level is not None:
            level = self.level if least > self.level and self.worst is None else 0.0
        else:
            level = (1 - RESERVE) * min(least, self.ceiling)
        if level > 0:
            self.forest.kind[open_boxes] = EXCLUDED
        return max(level, 0.0)


def _roots(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """The box, and its faces: lower and upper along axis 0, then along axis 1, and so on."""
    lows, highs = [lower], [upper]
    for axis in range(len(lower)):
        for value in (lower[axis], upper[axis]):
            low, high = lower.clone(), upper.clone()
            low[axis] = high[axis] = value
            lows.append(low)
            highs.append(high)
    return torch.stack(lows), torch.stack(highs)
