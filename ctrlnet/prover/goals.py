"""What a search has to show: goals, one tree of boxes each, over one graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ctrlnet.graph import Graph

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
