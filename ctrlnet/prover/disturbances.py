"""The box D of a disturbance for claims about x alone, which hold for all d in D at once.

Bounds over B x D, B a box of x, do not become sharp as B shrinks: what is left is of third order in the widths of D,
or of second. So D is taken in parts, along the axes in which the functions are not affine. A part is c + r ∘ e with
|eᵢ| <= 1, and one e serves all parts: every margin is one node a part, over inputs that are no more than those of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph, jacobian
from ctrlnet.graph.dependence import inputs_read
from ctrlnet.prover.model import Model

PARTS = 4  # at most
CORNERS = 16  # at most, of which single states are asked


@dataclass(frozen=True)
class Part:
    """lower <= d <= upper, tensors (k,)."""

    lower: Tensor
    upper: Tensor

    def node(self, graph: Graph, unit: int) -> int:
        """c + r ∘ e of the node e."""
        ends = list(zip(self.lower.tolist(), self.upper.tolist(), strict=True))
        centre, half = ([(Fraction(b) + sign * Fraction(a)) / 2 for a, b in ends] for sign in (1, -1))
        return graph.binary("add", graph.constant(centre), graph.binary("mul", graph.constant(half), unit))


def parts(model: Model, nodes: Sequence[int]) -> list[Part]:
    """D, halved along the axes of d in which the nodes are not affine, in turn; one part where there is no d."""
    n = model.n
    found = [Part(model.lower[n:], model.upper[n:])]
    axes = _curved(model, nodes)
    for axis in itertools.cycle(axes):
        if 2 * len(found) > PARTS:
            break
        found = [half for part in found for half in _halves(part, axis)]
    return found


def joined(x: Tensor, d: Tensor) -> Tensor:
    """(x, d) for each x (B, n) and one d (k,)."""
    return torch.cat((x, d.expand(len(x), -1)), -1)


def values(model: Model) -> Tensor:
    """Some of D, (S, k): its centre, and its corners if they are not too many; else two of them."""
    n = model.n
    lower, upper = model.lower[n:], model.upper[n:]
    return lower + shares(len(lower)) * (upper - lower)


def shares(k: int) -> Tensor:
    """The same of the unit cube; of no dimension, one value."""
    if k == 0:
        return torch.zeros(1, 0, dtype=torch.float64)
    signs = itertools.product((0.0, 1.0), repeat=k) if 2**k <= CORNERS else ((0.0,) * k, (1.0,) * k)
    return torch.tensor([(0.5,) * k, *signs], dtype=torch.float64)


def _curved(model: Model, nodes: Sequence[int]) -> list[int]:
    """The axes j of d for which the derivative of a node in d_j reads d."""
    graph, n = model.graph, model.n
    disturbed, found = frozenset(range(n, graph.dimension)), set[int]()
    if not disturbed:
        return []
    for row in (row for node in nodes for row in jacobian(graph, node)):
        found |= {j for j, read in enumerate(inputs_read(graph, row)) if j in disturbed and read & disturbed}
    return sorted(j - n for j in found)


def _halves(part: Part, axis: int) -> list[Part]:
    middle = 0.5 * part.lower + 0.5 * part.upper
    high, low = part.upper.clone(), part.lower.clone()
    high[axis] = low[axis] = middle[axis]
    return [Part(part.lower, high), Part(low, part.upper)]
