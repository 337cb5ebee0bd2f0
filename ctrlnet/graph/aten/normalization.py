"""Normalisation layers in the mode of evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.reductions import mean, variance
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


def _scaled(graph: Graph, a: Traced, weight: Traced | None, bias: Traced | None) -> Traced:
    scaled = a if weight is None else t.mul(graph, a, weight)
    return scaled if bias is None else t.add(graph, scaled, bias)


def _channels(value: Traced | None, rank: int) -> Traced | None:
    """A vector over channels, spread along the second of `rank` dimensions."""
    return None if value is None else Traced(value.node, (*value.shape, *(1,) * (rank - 2)))


def _batch_norm(
    graph: Graph, a: Traced, weight: Any, bias: Any, running_mean: Any, running_var: Any, *options: Any
) -> Any:
    """(a - mean) / √(var + ε) weight + bias with the moments that training left."""
    *training, _, eps = options
    if any(training) or running_mean is None:
        raise NotImplementedError("batch normalisation in training mode mixes the states of a batch; call .eval()")
    moments = (_channels(value, len(a.shape)) for value in (running_mean, running_var, weight, bias))
    middle, spread, scale, shift = moments
    root = t.sqrt(graph, t.add(graph, spread, Fraction(eps)))
    normal = t.div(graph, t.sub(graph, a, middle), root)
    return _scaled(graph, normal, scale, shift), None, None


def _layer_norm(graph: Graph, a: Traced, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    """(a - mean) / √(variance + ε) over the last dimensions, times weight plus bias."""
    dims = list(range(-len(shape), 0))
    middle = mean(graph, a, dims, keepdim=True)
    spread = t.add(graph, variance(graph, a, dims, 0, keepdim=True), Fraction(eps))
    inverse = t.div(graph, 1, t.sqrt(graph, spread))
    normal = t.mul(graph, t.sub(graph, a, middle), inverse)
    return _scaled(graph, normal, weight, bias), middle, inverse


def _weight_norm(graph: Graph, v: Traced, g: Traced, dim: int = 0) -> Any:
    """v g / |v|, the norm of every row."""
    if dim != 0:
        raise NotImplementedError("weight normalisation across other dimensions than the first")
    norm = Traced(graph.norm(v.node, v.shape[0]), g.shape)
    return t.mul(graph, v, t.div(graph, g, norm)), norm


def _group_norm(
    graph: Graph, a: Traced, weight: Any, bias: Any, n: int, c: int, rest: int, groups: int, eps: float
) -> Any:
    parts = Traced(a.node, (n * groups, math.prod(a.shape) // (n * groups)))
    normal, middle, inverse = _layer_norm(graph, parts, parts.shape[1:], None, None, eps)
    scale, shift = (_channels(value, len(a.shape)) for value in (weight, bias))
    inside = _scaled(graph, Traced(normal.node, a.shape), scale, shift)
    return inside, Traced(middle.node, (n, groups)), Traced(inverse.node, (n, groups))


def _layer_norm_backward(
    graph: Graph,
    g: Traced,
    a: Traced,
    shape: Sequence[int],
    middle: Traced,
    inverse: Traced,
    weight: Any,
    bias: Any,
    mask: Sequence[bool],
) -> Any:
    """With n = (a - mean) r and h = g weight: ā = r (h - mean(h) - n mean(h n)); the weights are constants."""
    dims = list(range(-len(shape), 0))
    normal = t.mul(graph, t.sub(graph, a, middle), inverse)
    inner = g if weight is None else t.mul(graph, g, weight)
    along = t.mul(graph, normal, mean(graph, t.mul(graph, inner, normal), dims, keepdim=True))
    across = t.sub(graph, t.sub(graph, inner, mean(graph, inner, dims, keepdim=True)), along)
    return t.mul(graph, inverse, across), None, None


NORMALIZATION: dict[Any, Handler] = {
    aten.native_batch_norm: _batch_norm,
    aten.native_layer_norm: _layer_norm,
    aten.native_layer_norm_backward: _layer_norm_backward,
    aten.native_group_norm: _group_norm,
    aten._weight_norm_interface: _weight_norm,
}
