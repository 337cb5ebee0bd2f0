"""Branch and bound: boxes are proved, excluded, left to the equilibrium's neighbourhood, or split.

Where goals are levelled the level need not be known beforehand. An open box then only asks that the level be below its
least V. So the search splits the open boxes of least V until they stand within `tolerance` of `ceiling`, the least V
known at a state that violates the statement, and the level is then the least V over the open boxes: the proof so far is
a proof at whatever moment it stops.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.prover.budget import Budget
from ctrlnet.prover.equilibrium import Neighbourhood
from ctrlnet.prover.falsifier import Falsifier
from ctrlnet.prover.forest import EXCLUDED, LOCAL, OPEN, PROVED, Forest, halved, splittable
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.guide import guide
from ctrlnet.prover.second_order import bounds
from ctrlnet.prover.slope import Slope

SMALLEST_BATCH, LARGEST_BATCH = 4096, 1 << 15
SMALLEST_ROUND = 96  # boxes: bounding fewer takes as long, since then the calls are what costs
RESERVE = 1e-3  # of the level: what the checker may lose against us in bounding V
EVERY = 2.0  # seconds between two reports of progress

log = logging.getLogger("ctrlnet")


class Open(NamedTuple):
    """The open boxes: node and goal, bounds, the least V known on each, and how much an axis counts."""

    node: Tensor
    goal: Tensor
    lower: Tensor
    upper: Tensor
    least: Tensor
    guide: Tensor

    def of(self, chosen: Tensor) -> Open:
        return Open(*(part[chosen] for part in self))

    def joined(self, other: Open) -> Open:
        return Open(*(torch.cat(parts) for parts in zip(self, other, strict=True)))


class Progress(NamedTuple):
    """How far a search is: boxes bounded and open, the share of the volume settled, the level proved so far."""

    boxes: int
    open: int
    settled: float
    level: float | None
    seconds: float

    def __str__(self) -> str:
        level = f", level {self.level:.6g} so far" if self.level is not None and self.level > 0 else ""
        work = f"{self.boxes:,} boxes in {self.seconds:.0f} s, {self.open:,} open"
        return f"{work}, {self.settled:.4%} of the volume settled{level}"


@dataclass
class Search:
    """State of a search over the goals' trees."""

    problem: Problem
    local: Neighbourhood | None = None
    level: float | None = None
    tolerance: float = 0.005
    budget: Budget = field(default_factory=Budget)
    start: Mapping[int, str] = field(default_factory=dict)  # trees to begin with, by the number of their goal
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.progress is not None and not callable(self.progress):
            raise UsageError(f"progress is {self.progress!r}; give a function of a Progress, such as print.")
        goals = self.problem.goals
        self.started, self.bounded, self.seconds, self.interrupted = time.perf_counter(), 0, 0.0, False
        self.falsifier = Falsifier(self.problem, self.level)
        self.levelled = torch.tensor([goal.levelled for goal in goals])
        kinds = list(dict.fromkeys(goal.demands for goal in goals))
        self.kind_of = torch.tensor([kinds.index(goal.demands) for goal in goals])
        self.lower, self.upper = (torch.stack([getattr(goal, side) for goal in goals]) for side in ("lower", "upper"))
        self.forest = Forest(self.lower, self.upper)
        self.settled = torch.zeros(len(goals), dtype=torch.float64)  # share of each tree's volume
        self.falsifier.sample()
        self.open = self._classified(self._roots())

    def run(self) -> float | None:
        """Split until every open box is near the ceiling or the budget is spent; the level proved, None for none.

        Without levelled goals the result is infinite when everything is proved.
        """
        told = time.perf_counter()
        try:
            while self._affordable() and len(chosen := self._chosen()):
                part, kept = self.open.of(chosen), torch.ones(len(self.open.node), dtype=torch.bool)
                kept[chosen] = False
                self.open = self.open.of(kept).joined(self._classified(self._split(part)))
                if time.perf_counter() - told > EVERY:
                    told = time.perf_counter()
                    self._tell()
        except KeyboardInterrupt:  # what has been proved is kept: the boxes in hand are the tree's open leaves
            self.interrupted = True
            self.open = self._unfinished()
        self.seconds = time.perf_counter() - self.started
        return self._settle()

    # ---- the queue -------------------------------------------------------------------------------------------------

    def _affordable(self) -> bool:
        elapsed = time.perf_counter() - self.started
        ended = self.falsifier.refuted or self.falsifier.hopeless
        return not ended and elapsed < self.budget.seconds and self.bounded < self.budget.boxes

    def _chosen(self) -> Tensor:
        """The open boxes whose least V stands in the way, those of least V first, the newest first among equals."""
        ceiling = self.falsifier.ceiling
        target = ceiling if self.level is not None or math.isinf(ceiling) else ceiling - self.tolerance * abs(ceiling)
        active = ~(self.open.least > target) | ~self.levelled[self.open.goal]
        active &= splittable(self.open.lower, self.open.upper).any(-1)
        boxes = active.nonzero().flatten().flip(0)
        batch = max(SMALLEST_BATCH, min(LARGEST_BATCH, len(boxes) // 8))
        least = torch.where(self.levelled[self.open.goal[boxes]], self.open.least[boxes], -math.inf)
        return boxes[least.argsort(stable=True)[:batch]]

    def _split(self, part: Open) -> Open:
        """Halves of the boxes, and halves of these as long as they are fewer than a round takes at no further cost."""
        part = self._halved(part)
        most = min(SMALLEST_ROUND, self.budget.boxes - self.bounded)
        while 2 * len(part.node) <= most and bool(splittable(part.lower, part.upper).any(-1).all()):
            part = self._halved(part)
        return part

    def _halved(self, part: Open) -> Open:
        axis = part.guide.masked_fill(~splittable(part.lower, part.upper), -math.inf).argmax(-1)
        node = self.forest.split(part.node, axis)
        lower, upper = halved(part.lower, part.upper, axis)
        weight = part.guide.scatter_reduce(
            1, axis[:, None], torch.full((len(axis), 1), 0.5, dtype=torch.float64), "prod"
        )
        goal, least, guide = (p.repeat_interleave(2, 0) for p in (part.goal, part.least, weight))
        return Open(node, goal, lower, upper, least, guide)

    def _roots(self) -> Open:
        """The roots, or the leaves of the trees to begin with."""
        for goal, text in self.start.items():
            self.forest.grow(goal, text)
        return self._unfinished()

    def _unfinished(self) -> Open:
        """The open leaves of all trees, as if they had not been looked at."""
        parts = []
        for goal in range(len(self.problem.goals)):
            nodes, lower, upper, kind = self.forest.leaves(goal)
            rest = kind == OPEN
            least = torch.full((int(rest.sum()),), -math.inf, dtype=torch.float64)
            guide = (upper - lower)[rest]
            parts.append(Open(nodes[rest], torch.full_like(nodes[rest], goal), lower[rest], upper[rest], least, guide))
        return Open(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    # ---- bounds ----------------------------------------------------------------------------------------------------

    def _classified(self, boxes: Open) -> Open:
        """Bound the boxes, settle in the forest what can be settled, and give back what stays open."""
        rest = [self._bound(boxes.of(self.kind_of[boxes.goal] == k)) for k in range(int(self.kind_of.max()) + 1)]
        return Open(*(torch.cat(columns) for columns in zip(*rest, strict=True)))

    def _bound(self, boxes: Open) -> Open:
        if not len(boxes.node):
            return boxes
        goal = self.problem.goals[int(boxes.goal[0])]
        forms, value = self._forms(goal, boxes)
        least = boxes.least
        if value is not None:
            least = torch.maximum(least, _least(forms[value]).nan_to_num(-math.inf))
            self.forest.note(boxes.node, least)
        proved = torch.stack([_least(forms[m]) > 0 for m in goal.margins]).all(0) if goal.margins else least < -math.inf
        excluded = torch.stack([_least(forms[w]) > 0 for w in goal.where] + [least > self.falsifier.ceiling]).any(0)
        kind = torch.where(proved, PROVED, torch.where(excluded, EXCLUDED, OPEN))
        if goal.local and self.local is not None:
            kind = torch.where(self.local.contains(boxes.lower, boxes.upper), LOCAL, kind)
        self.forest.settle(boxes.node, kind)
        self._count(boxes, kind != OPEN)
        rest = kind == OPEN
        boxes = boxes.of(rest)
        self.falsifier.look(goal, 0.5 * boxes.lower + 0.5 * boxes.upper)
        others = [forms[node].of(rest) for node in ((value,) if value is not None else goal.where)]
        margins = [forms[node].of(rest) for node in goal.margins]
        return boxes._replace(least=least[rest], guide=guide(margins, others, self._share(boxes)))

    def _forms(self, goal: Goal, boxes: Open) -> tuple[dict[int, Slope], int | None]:
        """Bounds of all nodes that the goal is about, and which of them is V, where the level matters."""
        nodes, value = self.problem.nodes(goal)
        lower, upper, place = boxes.lower, boxes.upper, self.budget.device
        if self.problem.extend is not None:
            lower, upper = self.problem.extend(lower, upper)
        asked = {node: [0.0] for node in nodes}
        if value is not None:
            asked[value].append(self.falsifier.ceiling)
        found = bounds(self.problem.graph, nodes, lower.to(place), upper.to(place), asked)
        self.bounded += len(boxes.node)
        return dict(zip(nodes, (form.to("cpu") for form in found), strict=True)), value

    def _count(self, boxes: Open, done: Tensor) -> None:
        flat = self.upper[boxes.goal] <= self.lower[boxes.goal]
        share = self._share(boxes).masked_fill(flat, 1.0).prod(-1)
        self.settled.index_add_(0, boxes.goal, torch.where(done, share, 0.0))

    def _share(self, boxes: Open) -> Tensor:
        """Widths relative to those of the goal's box, (B, N)."""
        whole = (self.upper - self.lower)[boxes.goal]
        return (boxes.upper - boxes.lower) / torch.where(whole > 0, whole, 1.0)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _settle(self) -> float | None:
        """The level below every open box, which are excluded by it, as are boxes that were split for a higher one."""
        level = self._provable()
        if level is not None:
            self.forest.settle(self.open.node, EXCLUDED)
            self.forest.prune(level + RESERVE * abs(level))
        return level

    def _provable(self) -> float | None:
        if self.falsifier.refuted or self.falsifier.hopeless or not bool(self.levelled[self.open.goal].all()):
            return None
        least = float(self.open.least.min()) if len(self.open.node) else math.inf
        if self.level is not None:
            return self.level if least > self.level else None
        highest = self._highest() if self.levelled.any() else math.inf
        below = min(least, self.falsifier.ceiling)
        return min(below - RESERVE * abs(below) if math.isfinite(below) else below, highest)

    def _highest(self) -> float:
        """A level that V nowhere exceeds: where nothing stands in the way, the level set is the whole box."""
        value, lower, upper = self.problem.value, self.lower[:1], self.upper[:1]
        if self.problem.extend is not None:
            lower, upper = self.problem.extend(lower, upper)
        assert value is not None
        highest = float(bounds(self.problem.graph, [value], lower, upper)[0].range.upper[0, 0])
        return highest if highest == highest else math.inf

    def _tell(self) -> None:
        level = self._provable() if self.levelled.any() else None
        elapsed = time.perf_counter() - self.started
        now = Progress(self.bounded, len(self.open.node), float(self.settled.mean()), level, elapsed)
        log.info("%s", now)
        if self.progress is not None:
            self.progress(now)


def _least(form: Slope) -> Tensor:
    return form.range.lower[:, 0]
