"""Binary trees of boxes, split at midpoints, and their form in a certificate."""

from __future__ import annotations

import torch
from torch import Tensor

OPEN, SPLIT, PROVED, EXCLUDED, LOCAL = 0, 1, 2, 3, 4
LETTERS = {PROVED: "p", EXCLUDED: "x", LOCAL: "e"}
KINDS = {PROVED: "proved", EXCLUDED: "excluded", LOCAL: "equilibrium"}


class Forest:
    """Boxes of all trees: bounds (N, n), kind, split axis and first child (the second follows it)."""

    def __init__(self, lower: Tensor, upper: Tensor):
        count = len(lower)
        self.lower, self.upper = lower, upper
        self.kind = torch.zeros(count, dtype=torch.int8)
        self.axis = torch.zeros(count, dtype=torch.int64)
        self.child = torch.zeros(count, dtype=torch.int64)
        self.root = torch.arange(count)

    def __len__(self) -> int:
        return len(self.kind)

    def split(self, boxes: Tensor, axis: Tensor) -> Tensor:
        """Halve boxes at the midpoint of the given axes; the numbers of the children, pairs side by side."""
        middle = 0.5 * self.lower[boxes, axis] + 0.5 * self.upper[boxes, axis]
        rows = torch.arange(len(boxes))
        below, above = self.upper[boxes].clone(), self.lower[boxes].clone()
        below[rows, axis], above[rows, axis] = middle, middle
        first = len(self)
        self.kind[boxes], self.axis[boxes] = SPLIT, axis
        self.child[boxes] = first + 2 * rows
        self.lower = torch.cat((self.lower, torch.stack((self.lower[boxes], above), 1).flatten(0, 1)))
        self.upper = torch.cat((self.upper, torch.stack((below, self.upper[boxes]), 1).flatten(0, 1)))
        fresh = torch.zeros(2 * len(boxes), dtype=torch.int64)
        self.kind = torch.cat((self.kind, fresh.to(torch.int8)))
        self.axis, self.child = torch.cat((self.axis, fresh)), torch.cat((self.child, fresh))
        self.root = torch.cat((self.root, self.root[boxes].repeat_interleave(2)))
        return torch.arange(first, first + 2 * len(boxes))

    def splittable(self, boxes: Tensor) -> Tensor:
        """Axes along which the midpoint lies strictly inside, (B, n)."""
        lower, upper = self.lower[boxes], self.upper[boxes]
        middle = 0.5 * lower + 0.5 * upper
        return (lower < middle) & (middle < upper)

    def encode(self, root: int) -> str:
        """Preorder: a capital letter splits along its axis, a small one is a leaf."""
        kind, axis, child = self.kind.tolist(), self.axis.tolist(), self.child.tolist()
        text, pending = [], [root]
        while pending:
            box = pending.pop()
            if kind[box] == SPLIT:
                text.append(chr(ord("A") + axis[box]))
                pending += (child[box] + 1, child[box])
            else:
                text.append(LETTERS[kind[box]])
        return "".join(text)
