"""Operations over dimensions: sums, products, extrema, norms, moments, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.arithmetic import root
from ctrlnet.graph.aten.comparisons import both, either
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
Dims = Sequence[int] | int | None


def _grouped(a: Traced, dims: Dims, keepdim: bool) -> tuple[list[int], int, tuple[int, ...]]:
    """The order of entries that makes every reduced group consecutive, the number of groups, the reduced shape."""
    rank = len(a.shape)
    listed = [dims] if isinstance(dims, int) else dims
    gone = sorted({d % rank for d in listed}) if rank and listed else list(range(rank))
    kept = [d for d in range(rank) if d not in gone]
    index = torch.arange(math.prod(a.shape)).reshape(a.shape).permute(kept + gone).reshape(-1).tolist()
    shape = tuple(1 if d in gone else a.shape[d] for d in range(rank) if keepdim or d in kept)
    return index, math.prod(a.shape[d] for d in kept), shape


def total(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False, dtype: Any = None) -> Traced:
    index, groups, shape = _grouped(a, dims, keepdim)
    return Traced(graph.sum(graph.take(t.number(graph, a).node, index), groups), shape)


def mean(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False, dtype: Any = None) -> Traced:
    summed = total(graph, a, dims, keepdim)
    return t.mul(graph, summed, Fraction(math.prod(summed.shape), math.prod(a.shape)))


def _folded(graph: Graph, a: Traced, dims: Dims, keepdim: bool, join: Callable[..., Traced]) -> Traced:
    """Groups joined pairwise, by halves."""
    index, groups, shape = _grouped(a, dims, keepdim)
    m = len(index) // groups
    rows = Traced(graph.take(a.node, [index[j * m + i] for i in range(m) for j in range(groups)]), (m, groups), a.truth)
    while m > 1:
        half = m // 2
        left, right, rest = (_rows(graph, rows, p, q) for p, q in ((0, half), (half, 2 * half), (2 * half, m)))
        joined = join(graph, left, right)
        m = half + m % 2
        rows = Traced(graph.concatenate([joined.node, rest.node]), (m, groups), joined.truth)
    return Traced(rows.node, shape, rows.truth)


def _rows(graph: Graph, a: Traced, first: int, last: int) -> Traced:
    groups = a.shape[1]
    return Traced(graph.take(a.node, range(first * groups, last * groups)), (last - first, groups), a.truth)


def _extremum(join: Callable[..., Traced]) -> Callable[..., Traced]:
    def handler(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False) -> Traced:
        return _folded(graph, t.number(graph, a), dims, keepdim, join)

    return handler


largest, smallest = _extremum(t.maximum), _extremum(t.minimum)


def _with_place(reduction: Callable[..., Traced], pairwise: Callable[..., Traced]) -> Handler:
    """torch.max and torch.min: of all entries, of two tensors, or over a dimension with the place as second result."""

    def handler(graph: Graph, a: Traced, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Traced):
            return pairwise(graph, a, dim)
        reduced = reduction(graph, a, dim, keepdim)
        return reduced if dim is None else (reduced, None)

    return handler


def _aminmax(graph: Graph, a: Traced, dim: Dims = None, keepdim: bool = False) -> Any:
    return smallest(graph, a, dim, keepdim), largest(graph, a, dim, keepdim)


def _product(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False, dtype: Any = None) -> Traced:
    return _folded(graph, t.number(graph, a), dims, keepdim, t.mul)


def _any(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False) -> Traced:
    return _folded(graph, t.truth(graph, a), dims, keepdim, either)


def _all(graph: Graph, a: Traced, dims: Dims = None, keepdim: bool = False) -> Traced:
    return _folded(graph, t.truth(graph, a), dims, keepdim, both)


def variance(graph: Graph, a: Traced, dims: Any = None, correction: Any = 1, keepdim: bool = False) -> Traced:
    """Σ (a - mean)² / (m - correction), the correction 1 unless it is given."""
    deviation = t.sub(graph, a, mean(graph, a, dims, keepdim=True))
    summed = total(graph, t.square(graph, deviation), dims, keepdim)
    m = Fraction(math.prod(a.shape), math.prod(summed.shape)) - Fraction(1 if correction is None else correction)
    if m <= 0:
        raise NotImplementedError("a variance of one number")
    return t.mul(graph, summed, 1 / m)


def _deviation(graph: Graph, *arguments: Any, **options: Any) -> Traced:
    return t.sqrt(graph, variance(graph, *arguments, **options))


def _variance_and_mean(graph: Graph, a: Traced, dims: Any = None, keepdim: bool = False, **options: Any) -> Any:
    return variance(graph, a, dims, keepdim=keepdim, **options), mean(graph, a, dims, keepdim)


def _deviation_and_mean(graph: Graph, a: Traced, *arguments: Any, **options: Any) -> Any:
    spread, middle = _variance_and_mean(graph, a, *arguments, **options)
    return t.sqrt(graph, spread), middle


def norm(graph: Graph, a: Traced, p: Any = 2, dims: Dims = None, keepdim: bool = False, dtype: Any = None) -> Traced:
    """(Σ |a|^p)^(1/p), the largest |a| for p = ∞, the smallest for p = -∞."""
    order = 2 if p is None else p
    if order in (math.inf, -math.inf):
        return (largest if order > 0 else smallest)(graph, t.absolute(graph, a), dims, keepdim)
    if order == 2:
        index, groups, shape = _grouped(a, dims, keepdim)
        return Traced(graph.norm(graph.take(a.node, index), groups), shape)
    size = t.absolute(graph, a)
    if order == 1:
        return total(graph, size, dims, keepdim)
    if order <= 0:
        raise NotImplementedError(f"the norm of order {order}")
    powers = root(graph, size, 1 / Fraction(order))
    return root(graph, total(graph, powers, dims, keepdim), Fraction(order))


def _logsumexp(graph: Graph, a: Traced, dims: Dims, keepdim: bool = False) -> Traced:
    return t.log(graph, total(graph, t.exp(graph, a), dims, keepdim))


def _softmax(graph: Graph, a: Traced, dim: int, half_to_float: bool = False) -> Traced:
    powers = t.exp(graph, a)
    return t.div(graph, powers, total(graph, powers, dim, keepdim=True))


def _log_softmax(graph: Graph, a: Traced, dim: int, half_to_float: bool = False) -> Traced:
    return t.sub(graph, a, _logsumexp(graph, a, dim, keepdim=True))


def clamp(graph: Graph, a: Traced, min: Any = None, max: Any = None) -> Traced:
    raised = a if min is None or min == -math.inf else t.maximum(graph, a, min)
    return raised if max is None or max == math.inf else t.minimum(graph, raised, max)


def _truths_too(on_numbers: Callable[..., Traced], on_truths: Callable[..., Traced]) -> Handler:
    """The larger of two truth values is `or`, the smaller `and`."""

    def handler(graph: Graph, a: Traced, b: Traced) -> Traced:
        return (on_numbers if a.truth is None or b.truth is None else on_truths)(graph, a, b)

    return handler


REDUCTIONS: dict[Any, Handler] = {
    aten.sum: total,
    aten.mean: mean,
    aten.prod: _product,
    aten.amax: largest,
    aten.amin: smallest,
    aten.aminmax: _aminmax,
    aten.max: _with_place(largest, t.maximum),
    aten.min: _with_place(smallest, t.minimum),
    aten.maximum: _truths_too(t.maximum, either),
    aten.minimum: _truths_too(t.minimum, both),
    aten.fmax: t.maximum,
    aten.fmin: t.minimum,
    aten.clamp: clamp,
    aten.clamp_min: lambda graph, a, min: clamp(graph, a, min=min),
    aten.clamp_max: lambda graph, a, max: clamp(graph, a, max=max),
    aten.any: _any,
    aten.all: _all,
    aten.var: variance,
    aten.std: _deviation,
    aten.var_mean: _variance_and_mean,
    aten.std_mean: _deviation_and_mean,
    aten.linalg_vector_norm: norm,
    aten.norm: norm,
    aten.dist: lambda graph, a, b, p=2: norm(graph, t.sub(graph, a, b), p),
    aten.logsumexp: _logsumexp,
    aten._softmax: _softmax,
    aten._log_softmax: _log_softmax,
}
