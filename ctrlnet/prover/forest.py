"""Binary trees of boxes, split at midpoints, and their form in a certificate.

A forest keeps of every node its kind, its axis, its first child and a lower bound of V; corners are those of the roots
and of the boxes in hand, since a tree's splits say where every leaf lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

OPEN, SPLIT, PROVED, EXCLUDED, LOCAL = 0, 1, 2, 3, 4
LETTERS = {OPEN: "o", PROVED: "p", EXCLUDED: "x", LOCAL: "e"}
KINDS = {OPEN: "open", PROVED: "proved", EXCLUDED: "excluded", LOCAL: "equilibrium"}
FIRST_AXIS = ord("A")


class Forest:
    """Trees over the boxes [lower[i], upper[i]]; node i < R is the root of tree i."""

    def __init__(self, lower: Tensor, upper: Tensor):
        self.lower, self.upper, self.size = lower, upper, len(lower)
        self._kind = torch.zeros(len(lower), dtype=torch.int8)
        self._axis = torch.zeros(len(lower), dtype=torch.int8)
        self._child = torch.zeros(len(lower), dtype=torch.int64)
        self._least = torch.full((len(lower),), -math.inf, dtype=torch.float32)

    def __len__(self) -> int:
        return self.size

    def settle(self, nodes: Tensor, kind: Tensor | int) -> None:
        """Say what nodes are."""
        self._kind[nodes] = kind.to(torch.int8) if isinstance(kind, Tensor) else kind

    def note(self, nodes: Tensor, least: Tensor) -> None:
        """Lower bounds of V on the boxes of nodes, to 24 bits."""
        self._least[nodes] = least.float()

    def prune(self, level: float) -> None:
        """Exclude every box on which V exceeds the level, whatever it was split for before the level was known."""
        self._kind[(self._kind == SPLIT) & (self._least > level)] = EXCLUDED

    def split(self, nodes: Tensor, axis: Tensor) -> Tensor:
        """Two children for every node; their numbers, pairs side by side."""
        first = self.size + 2 * torch.arange(len(nodes))
        self._reserve(self.size + 2 * len(nodes))
        self._kind[nodes], self._axis[nodes], self._child[nodes] = SPLIT, axis.to(torch.int8), first
        self.size += 2 * len(nodes)
        return torch.stack((first, first + 1), 1).flatten()

    def leaves(self, root: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Nodes, lower and upper bounds (N, n), and kinds of the leaves of one tree."""
        done = []
        for nodes, lower, upper in self._levels(root):
            leaf = self._kind[nodes] != SPLIT
            done.append((nodes[leaf], lower[leaf], upper[leaf]))
        nodes, lower, upper = (torch.cat(parts) for parts in zip(*done, strict=True))
        return nodes, lower, upper, self._kind[nodes]

    def encode(self, root: int) -> str:
        """Preorder: a capital letter splits along its axis, a small one is a leaf."""
        levels = [nodes for nodes, *_ in self._levels(root)]
        count = torch.ones(self.size, dtype=torch.int64)
        for nodes in reversed(levels):
            parents = nodes[self._kind[nodes] == SPLIT]
            count[parents] += count[self._child[parents]] + count[self._child[parents] + 1]
        place = torch.zeros(self.size, dtype=torch.int64)
        text = np.zeros(int(count[root]), dtype=np.uint8)
        letters = np.array([ord(LETTERS.get(kind, "?")) for kind in range(5)], dtype=np.uint8)
        for nodes in levels:
            kind = self._kind[nodes].numpy()
            text[place[nodes].numpy()] = np.where(kind == SPLIT, FIRST_AXIS + self._axis[nodes].numpy(), letters[kind])
            parents = nodes[self._kind[nodes] == SPLIT]
            first = self._child[parents]
            place[first] = place[parents] + 1
            place[first + 1] = place[parents] + 1 + count[first]
        return text.tobytes().decode()

    def grow(self, root: int, text: str) -> None:
        """Split a fresh root as a tree in its written form does; its leaves are open."""
        axes = [ord(letter) - FIRST_AXIS for letter in text]
        pending = [root]
        for axis in axes:
            node = pending.pop()
            if 0 <= axis < 26:
                low, high = self.split(torch.tensor([node]), torch.tensor([axis])).tolist()
                pending += (high, low)

    def _levels(self, root: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Nodes and bounds of one tree, depth by depth."""
        nodes, lower, upper = torch.tensor([root]), self.lower[root : root + 1], self.upper[root : root + 1]
        while len(nodes):
            yield nodes, lower, upper
            split = self._kind[nodes] == SPLIT
            nodes, lower, upper = nodes[split], lower[split], upper[split]
            lower, upper = halved(lower, upper, self._axis[nodes].long())
            nodes = torch.stack((self._child[nodes], self._child[nodes] + 1), 1).flatten()

    def _reserve(self, count: int) -> None:
        if count > len(self._kind):
            extra = max(count, 2 * len(self._kind)) - len(self._kind)
            self._kind, self._axis, self._child, self._least = (
                torch.cat((part, part.new_full((extra,), fill)))
                for part, fill in ((self._kind, 0), (self._axis, 0), (self._child, 0), (self._least, -math.inf))
            )


def halved(lower: Tensor, upper: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes halved at the midpoints of the given axes: bounds of the children, pairs side by side."""
    rows = torch.arange(len(lower))
    middle = 0.5 * lower[rows, axis] + 0.5 * upper[rows, axis]
    below, above = upper.clone(), lower.clone()
    below[rows, axis], above[rows, axis] = middle, middle
    return torch.stack((lower, above), 1).flatten(0, 1), torch.stack((below, upper), 1).flatten(0, 1)


def splittable(lower: Tensor, upper: Tensor) -> Tensor:
    """Axes along which the midpoint lies strictly inside, (B, n)."""
    middle = 0.5 * lower + 0.5 * upper
    return (lower < middle) & (middle < upper)
