"""The table of torch operations a trace understands, each written in primitives; one row an operation.

A handler gets the tracer and the arguments of the call, with every tensor replaced by a `Traced` (a graph node and a
shape), and returns a `Traced`. Operations that only move entries share one handler: the operation itself, run on a
tensor of entry numbers, says where every entry goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ctrlnet.errors import NonFinite
from ctrlnet.graph.constants import Floats
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


@dataclass(frozen=True)
class Traced:
    """A tensor of the traced function: the graph node of its entries in row-major order, and its shape."""

    node: int
    shape: tuple[int, ...]


Handler = Callable[..., Traced]

# Operations that only move, copy or repeat entries.
MOVEMENTS = {
    aten.view,
    aten._unsafe_view,
    aten.reshape,
    aten.t,
    aten.transpose,
    aten.permute,
    aten.select,
    aten.slice,
    aten.unsqueeze,
    aten.squeeze,
    aten.expand,
    aten.clone,
    aten.alias,
    aten.detach,
    aten.index_select,
    aten.unbind,
    aten.split,
    aten.chunk,
    aten.split_with_sizes,
    aten.cat,
    aten.stack,
    aten.flip,
    aten.roll,
    aten.repeat,
    aten.diagonal,
    aten.contiguous,
    aten.index,
    aten.unfold,
    aten.view_as,
    aten.expand_as,
    aten.movedim,
    aten.flatten,
    aten.unflatten,
    aten.tril,
    aten.triu,
    aten.diag_embed,
    aten.lift_fresh,
    aten.lift_fresh_copy,
    aten.squeeze_,
    aten.unsqueeze_,
    aten.t_,
    aten.transpose_,
}
RESHAPES = {aten.squeeze_, aten.unsqueeze_, aten.t_, aten.transpose_}  # in place, but no entry changes
INDEXED = {aten.index, aten.index_select}  # movements whose further tensors say where to look
ZEROING = {aten.tril, aten.triu, aten.diag_embed}  # movements that also write zeros

# Operations that create constants; their results are lifted with the values that torch computed.
FACTORIES = {
    aten.zeros,
    aten.ones,
    aten.full,
    aten.eye,
    aten.arange,
    aten.scalar_tensor,
    aten.zeros_like,
    aten.ones_like,
    aten.full_like,
    aten.new_zeros,
    aten.new_ones,
    aten.new_full,
}


def broadcast(graph: Graph, value: Traced, shape: tuple[int, ...]) -> int:
    """The node of the entries of `value` spread to `shape`."""
    index = torch.arange(math.prod(value.shape)).reshape(value.shape).expand(shape)
    return graph.take(value.node, index.reshape(-1).tolist())


def scalar(graph: Graph, number: float | int | Fraction) -> Traced:
    if not math.isfinite(number):
        raise NonFinite(f"The function uses the number {number}; only finite numbers can be proved about.")
    return Traced(graph.constant([Fraction(number)]), ())


def _operands(graph: Graph, values: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    traced = [value if isinstance(value, Traced) else scalar(graph, value) for value in values]
    shape = tuple(torch.broadcast_shapes(*(value.shape for value in traced)))
    return [broadcast(graph, value, shape) for value in traced], shape


def _unary(operation: str) -> Handler:
    return lambda graph, a: Traced(graph.unary(operation, a.node), a.shape)


def _binary(operation: str) -> Handler:
    def handler(graph: Graph, a: Any, b: Any) -> Traced:
        (left, right), shape = _operands(graph, (a, b))
        return Traced(graph.binary(operation, left, right), shape)

    return handler


add, sub, mul, div = map(_binary, ("add", "sub", "mul", "div"))
maximum, minimum = _binary("maximum"), _binary("minimum")


def _add(graph: Graph, a: Any, b: Any, alpha: float = 1) -> Traced:
    return add(graph, a, b if alpha == 1 else mul(graph, b, alpha))


def _sub(graph: Graph, a: Any, b: Any, alpha: float = 1) -> Traced:
    return sub(graph, a, b if alpha == 1 else mul(graph, b, alpha))


def _clamp(graph: Graph, a: Traced, min: Any = None, max: Any = None) -> Traced:
    raised = a if min is None or min == -math.inf else maximum(graph, a, min)
    return raised if max is None or max == math.inf else minimum(graph, raised, max)


def _power(graph: Graph, a: Traced, exponent: float | Traced) -> Traced:
    """Integer powers by repeated squaring; negative ones through the reciprocal."""
    if isinstance(exponent, Traced):
        held = graph.held(exponent.node)
        if held is None or held.size != 1:
            raise NotImplementedError("the exponent is not one number")
        exponent = float(held.fractions[0])
    if not math.isfinite(exponent) or exponent != int(exponent):
        raise NotImplementedError(f"the exponent {exponent} is not an integer")
    if exponent < 0:
        return div(graph, 1, _power(graph, a, -exponent))
    if exponent == 0:
        return Traced(graph.constant([1] * graph.size(a.node)), a.shape)
    half = _power(graph, a, exponent // 2) if exponent > 1 else None
    squared = _unary("square")(graph, half) if half else None
    return a if squared is None else mul(graph, squared, a) if exponent % 2 else squared


def _sum(
    graph: Graph, a: Traced, dims: Sequence[int] | None = None, keepdim: bool = False, dtype: Any = None
) -> Traced:
    rank = len(a.shape)
    summed = sorted({d % rank for d in dims}) if dims else list(range(rank))
    kept = [d for d in range(rank) if d not in summed]
    index = torch.arange(math.prod(a.shape)).reshape(a.shape).permute(kept + summed).reshape(-1).tolist()
    groups = math.prod(a.shape[d] for d in kept)
    shape = tuple(1 if d in summed else a.shape[d] for d in range(rank) if keepdim or d in kept)
    return Traced(graph.sum(graph.take(a.node, index), groups), shape)


def _mean(
    graph: Graph, a: Traced, dims: Sequence[int] | None = None, keepdim: bool = False, dtype: Any = None
) -> Traced:
    total = _sum(graph, a, dims, keepdim)
    return mul(graph, total, Fraction(math.prod(total.shape), math.prod(a.shape)))


def _matmul(graph: Graph, a: Traced, b: Traced) -> Traced:
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


def _batched_matmul(graph: Graph, a: Traced, b: Traced) -> Traced:
    count, (p, q), r = a.shape[0], a.shape[1:], b.shape[2]
    parts = [
        _matmul(
            graph,
            Traced(graph.take(a.node, range(i * p * q, (i + 1) * p * q)), (p, q)),
            Traced(graph.take(b.node, range(i * q * r, (i + 1) * q * r)), (q, r)),
        ).node
        for i in range(count)
    ]
    return Traced(graph.concatenate(parts), (count, p, r))


def _addmm(graph: Graph, bias: Traced, a: Traced, b: Traced, beta: float = 1, alpha: float = 1) -> Traced:
    product = _matmul(graph, a, b)
    return _add(graph, product if alpha == 1 else mul(graph, product, alpha), bias, beta)


def _matvec(graph: Graph, a: Traced, b: Traced) -> Traced:
    return Traced(_matmul(graph, a, Traced(b.node, (*b.shape, 1))).node, a.shape[:1])


def _dot(graph: Graph, a: Traced, b: Traced) -> Traced:
    return _sum(graph, mul(graph, a, b))


def _sigmoid(graph: Graph, a: Traced) -> Traced:
    """σ(z) = (1 + tanh(z/2)) / 2, an identity of the real functions."""
    return add(graph, mul(graph, _unary("tanh")(graph, mul(graph, a, 0.5)), 0.5), 0.5)


def _leaky_relu(graph: Graph, a: Traced, slope: float = 0.01) -> Traced:
    """s z + (1 - s) relu(z)."""
    weight = 1 - Fraction(slope)
    return add(graph, mul(graph, a, slope), mul(graph, _unary("relu")(graph, a), weight))


def _cast(graph: Graph, a: Traced, dtype: torch.dtype | None = None, **options: Any) -> Traced:
    """A change of floating-point format is the identity of the real numbers; its rounding belongs to deployment."""
    if dtype is not None and not dtype.is_floating_point:
        raise NotImplementedError(f"a conversion to {dtype} truncates")
    return a


HANDLERS: dict[Any, Handler] = {
    aten.add: _add,
    aten.sub: _sub,
    aten.rsub: lambda graph, a, b, alpha=1: _sub(graph, b, a, alpha),
    aten.mul: mul,
    aten.div: div,
    aten.reciprocal: lambda graph, a: div(graph, 1, a),
    aten.neg: _unary("neg"),
    aten.square: _unary("square"),
    aten.pow: _power,
    aten.sin: _unary("sin"),
    aten.cos: _unary("cos"),
    aten.exp: _unary("exp"),
    aten.tanh: _unary("tanh"),
    aten.sigmoid: _sigmoid,
    aten.silu: lambda graph, a: mul(graph, a, _sigmoid(graph, a)),
    aten.relu: _unary("relu"),
    aten.leaky_relu: _leaky_relu,
    aten.abs: _unary("abs"),
    aten.maximum: maximum,
    aten.minimum: minimum,
    aten.clamp: _clamp,
    aten.clamp_min: lambda graph, a, min: _clamp(graph, a, min=min),
    aten.clamp_max: lambda graph, a, max: _clamp(graph, a, max=max),
    aten.hardtanh: lambda graph, a, low=-1, high=1: _clamp(graph, a, low, high),
    aten.sum: _sum,
    aten.mean: _mean,
    aten.mm: _matmul,
    aten.bmm: _batched_matmul,
    aten.mv: _matvec,
    aten.addmm: _addmm,
    aten.dot: _dot,
    aten._to_copy: _cast,
}
