"""Matrix products and their kin; a product with an exact binary constant is the `linear` primitive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.reductions import total
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.constants import Floats
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


def matmul(graph: Graph, a: Traced, b: Traced) -> Traced:
    """A B for shapes (p, q), (q, r): a linear primitive where one factor is an exact binary constant."""
    (p, q), r = a.shape, b.shape[1]
    left, right = graph.held(a.node), graph.held(b.node)
    if right and right.floats is not None and not left:
        return Traced(graph.linear(a.node, _kron(np.eye(p), right.floats.reshape(q, r).T)), (p, r))
    if left and left.floats is not None and not right:
        return Traced(graph.linear(b.node, _kron(left.floats.reshape(p, q), np.eye(r))), (p, r))
    rows = graph.take(a.node, [i * q + k for i in range(p) for _ in range(r) for k in range(q)])
    columns = graph.take(b.node, [k * r + j for _ in range(p) for j in range(r) for k in range(q)])
    return Traced(graph.sum(graph.binary("mul", rows, columns), p * r), (p, r))


def _kron(a: Floats, b: Floats) -> Floats:
    return np.ascontiguousarray(np.kron(a, b), dtype=np.float64)


def part(graph: Graph, a: Traced, i: int) -> Traced:
    """The i-th entry along the first dimension."""
    size = math.prod(a.shape[1:])
    return Traced(graph.take(a.node, range(i * size, (i + 1) * size)), a.shape[1:])


def _batched(graph: Graph, a: Traced, b: Traced) -> Traced:
    count, p, r = a.shape[0], a.shape[1], b.shape[2]
    products = [matmul(graph, part(graph, a, i), part(graph, b, i)).node for i in range(count)]
    return Traced(graph.concatenate(products), (count, p, r))


def _scaled_sum(graph: Graph, bias: Traced, product: Traced, beta: float, alpha: float) -> Traced:
    """β bias + α product; a factor of zero drops its term, as in torch."""
    scaled = product if alpha == 1 else t.mul(graph, product, alpha)
    if beta == 0:
        return scaled
    return t.add(graph, scaled, bias if beta == 1 else t.mul(graph, bias, beta))


def _addmm(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    return _scaled_sum(graph, bias, matmul(graph, a, b), beta, alpha)


def _baddbmm(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    return _scaled_sum(graph, bias, _batched(graph, a, b), beta, alpha)


def _addbmm(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    return _scaled_sum(graph, bias, total(graph, _batched(graph, a, b), 0), beta, alpha)


def _matvec(graph: Graph, a: Traced, b: Traced) -> Traced:
    return Traced(matmul(graph, a, Traced(b.node, (*b.shape, 1))).node, a.shape[:1])


def _addmv(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    return _scaled_sum(graph, bias, _matvec(graph, a, b), beta, alpha)


def _addr(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    outer = matmul(graph, Traced(a.node, (*a.shape, 1)), Traced(b.node, (1, *b.shape)))
    return _scaled_sum(graph, bias, outer, beta, alpha)


def _dot(graph: Graph, a: Traced, b: Traced) -> Traced:
    return total(graph, t.mul(graph, a, b))


def _trilinear(
    graph: Graph,
    a: Traced,
    b: Traced,
    c: Traced,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Traced:
    """Σ a b c over `sumdim`, each tensor with new dimensions at its own places: the bilinear layer."""
    spread = [_expanded(value, places) for value, places in zip((a, b, c), (expand1, expand2, expand3), strict=True)]
    return total(graph, t.product(graph, *spread), list(sumdim))


def _expanded(a: Traced, places: Sequence[int]) -> Traced:
    shape = list(a.shape)
    for place in places:
        shape.insert(place, 1)
    return Traced(a.node, tuple(shape))


def _cross(graph: Graph, a: Traced, b: Traced, dim: int = -1) -> Traced:
    """(a₂b₃ - a₃b₂, a₃b₁ - a₁b₃, a₁b₂ - a₂b₁)."""
    left, right = t.broadcast_all(graph, (a, b))
    a1, a2, b1, b2 = (_rolled(graph, value, shift, dim) for value in (left, right) for shift in (-1, -2))
    return t.sub(graph, t.mul(graph, a1, b2), t.mul(graph, a2, b1))


def _rolled(graph: Graph, a: Traced, shift: int, dim: int) -> Traced:
    index = torch.arange(math.prod(a.shape)).reshape(a.shape).roll(shift, dim)
    return Traced(graph.take(a.node, index.reshape(-1).tolist()), a.shape)


MATRICES: dict[Any, Handler] = {
    aten.mm: matmul,
    aten.bmm: _batched,
    aten.mv: _matvec,
    aten.dot: _dot,
    aten.vdot: _dot,
    aten.addmm: _addmm,
    aten.baddbmm: _baddbmm,
    aten.addbmm: _addbmm,
    aten.addmv: _addmv,
    aten.addr: _addr,
    aten._trilinear: _trilinear,
    aten.linalg_cross: _cross,
}
