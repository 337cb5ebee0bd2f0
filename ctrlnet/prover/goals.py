"""What a search has to show: goals, one tree of boxes each, over one graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.points import upper_bounds

Extension = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Goal:
    """On the box [lower, upper], every margin is positive wherever every node of `where` is at most 0.

    name: where the tree stands in the proof: "interior", or "faces" with the axis and the side.
    margins: scalar nodes; none means that the whole box has to be excluded.
    where: scalar nodes; a box on which one of them is positive is excluded.
    levelled: a box on which V exceeds the level is excluded too.
    local: boxes within the neighbourhood of the equilibrium are settled by it.
    """

    name: str
    lower: Tensor
    upper: Tensor
    margins: tuple[int, ...]
    where: tuple[int, ...] = ()
    levelled: bool = False
    local: bool = False
    face: tuple[int, int] | None = None

    @property
    def demands(self) -> tuple[object, ...]:
        """Equal for goals that differ in their boxes alone: they are bounded together."""
        return self.margins, self.where, self.levelled, self.local


@dataclass(frozen=True)
class Problem:
    """Goals over the nodes of one graph.

    value: the node of V, where goals are levelled.
    about: the equilibrium (n,), whose margins vanish; None without one.
    extend: for graphs with more inputs than the boxes have axes: bounds of all inputs over given boxes.
    """

    graph: Graph
    goals: tuple[Goal, ...]
    value: int | None = None
    about: Tensor | None = None
    extend: Extension | None = None

    def nodes(self, goal: Goal) -> tuple[list[int], int | None]:
        """All nodes that a goal is about, and that of V where it is levelled."""
        value = self.value if goal.levelled else None
        return list(dict.fromkeys((*goal.margins, *goal.where, *(() if value is None else (value,))))), value

    def probes(self, x: Tensor) -> Tensor:
        """Inputs (S, count, N) at which the margins of states (count, n) are looked at; the least of S counts."""
        if self.extend is None:
            return x[None]
        lower, upper = self.extend(x, x)
        return (0.5 * lower + 0.5 * upper)[None]

    def violated(self, goal: Goal, x: Tensor, level: float | None) -> bool | None:
        """Whether the goal is certainly violated at x; None where single states show nothing and no split changes that.

        So it is with computed inputs: even at one state their bounds hold more values than are meant.
        """
        return None if self.extend is not None else self.certain(goal, goal.margins, x, level)

    def certain(self, goal: Goal, margins: Sequence[int], inputs: Tensor, level: float | None) -> bool:
        """Certainly every side condition is at most 0, V at most the level, and some of the margins, if any, too."""
        value = self.value if goal.levelled and level is not None else None
        nodes = [*margins, *goal.where, *(() if value is None else (value,))]
        bounds = dict(zip(nodes, upper_bounds(self.graph, nodes, inputs), strict=True))
        inside = all(bounds[node] <= 0 for node in goal.where)
        below = value is None or level is None or bounds[value] <= level
        return inside and below and (not margins or any(bounds[node] <= 0 for node in margins))


def faces(lower: Tensor, upper: Tensor, axes: int) -> list[tuple[tuple[int, int], Tensor, Tensor]]:
    """The faces of a box across its first axes: (axis, side), lower and upper bounds."""
    found = []
    for axis in range(axes):
        for side, value in enumerate((lower[axis], upper[axis])):
            low, high = lower.clone(), upper.clone()
            low[axis] = high[axis] = value
            found.append(((axis, side), low, high))
    return found


def pinned(lower: Tensor, upper: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """A box without extent beyond its first axes: for what does not depend on the other inputs."""
    return lower, torch.cat((upper[:axes], lower[axes:]))
