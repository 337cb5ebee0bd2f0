"""Convolutions and pooling: patches of a signal, by its entry numbers, and what is done with each patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.matrices import matmul, part
from ctrlnet.graph.aten.reductions import largest
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
Sizes = Sequence[int]


def patches(shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Tensor:
    """The numbers, from 1, of the entries of every patch: (batch, channels, *places, *kernel), 0 for a padded zero."""
    numbers = torch.arange(1, 1 + math.prod(shape)).reshape(tuple(shape))
    around = [side for pad in reversed(_all(padding, kernel)) for side in (pad, pad)]
    numbers = torch.nn.functional.pad(numbers, around)
    steps = zip(kernel, _all(stride, kernel), _all(dilation, kernel), strict=True)
    for axis, (length, step, spread) in enumerate(steps, 2):
        numbers = numbers.unfold(axis, (length - 1) * spread + 1, step)[..., ::spread]
    return numbers


def _all(sizes: Sizes, kernel: Sizes) -> list[int]:
    """One number stands for all axes."""
    return list(sizes) * (len(kernel) // len(sizes))


def _taken(graph: Graph, a: Traced, numbers: Tensor) -> Traced:
    source = graph.concatenate([graph.constant([0]), a.node])
    return Traced(graph.take(source, numbers.reshape(-1).tolist()), tuple(numbers.shape))


def _convolution(
    graph: Graph,
    a: Traced,
    weight: Traced,
    bias: Traced | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Traced:
    """Σ over channels and kernel of weight times patch, plus bias: a matrix product for every group of channels."""
    if transposed:
        raise NotImplementedError("a transposed convolution")
    outputs, channels, *kernel = weight.shape
    numbers = patches(a.shape, kernel, stride, padding, dilation)
    places, d = numbers.shape[2 : 2 + len(kernel)], len(kernel)
    numbers = numbers.movedim(1, d + 1).unflatten(d + 1, (groups, channels)).movedim(d + 1, 0)
    columns = _taken(graph, a, numbers.reshape(groups, -1, channels * math.prod(kernel)))
    rows = Traced(weight.node, (groups, outputs // groups, columns.shape[2]))
    products = [matmul(graph, part(graph, columns, i), _transposed(graph, part(graph, rows, i))) for i in range(groups)]
    order = torch.arange(len(numbers[0].reshape(-1, columns.shape[2])) * outputs)
    order = order.reshape(groups, a.shape[0], *places, outputs // groups).movedim(-1, 1).flatten(0, 1).movedim(1, 0)
    joined = graph.concatenate([product.node for product in products])
    value = Traced(graph.take(joined, order.reshape(-1).tolist()), tuple(order.shape))
    return value if bias is None else t.add(graph, value, Traced(bias.node, (outputs, *(1,) * d)))


def _transposed(graph: Graph, a: Traced) -> Traced:
    p, q = a.shape
    return Traced(graph.take(a.node, [i * q + j for j in range(q) for i in range(p)]), (q, p))


def _average(
    graph: Graph,
    a: Traced,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Traced:
    """The sum of every patch over the number of its entries, or over the divisor given."""
    numbers = _pooled(a, kernel, stride, padding, (1,), ceil_mode)
    counts = (numbers > 0).sum(-1) if not count_include_pad else torch.full(numbers.shape[:-1], numbers.shape[-1])
    counts = counts if divisor_override is None else torch.full_like(counts, divisor_override)
    shares = [Fraction(1, count) for count in counts.reshape(-1).tolist()]
    summed = graph.sum(_taken(graph, a, numbers).node, len(shares))
    return Traced(graph.binary("mul", summed, graph.constant(shares)), (*a.shape[:-2], *numbers.shape[2:-1]))


def _maximum(
    graph: Graph,
    a: Traced,
    kernel: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    dilation: Sizes = (1,),
    ceil_mode: bool = False,
) -> Any:
    """The largest entry of every patch; what is padded never is, so an entry of the patch stands in its place."""
    numbers = _pooled(a, kernel, stride, padding, dilation, ceil_mode)
    numbers = torch.where(numbers == 0, numbers.amax(-1, keepdim=True), numbers)
    value = largest(graph, _taken(graph, a, numbers), -1)
    return Traced(value.node, (*a.shape[:-2], *numbers.shape[2:-1])), None


def _pooled(a: Traced, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool) -> Tensor:
    """The patches of the last two axes, (batch, channels, *places, entries)."""
    if ceil_mode:
        raise NotImplementedError("pooling with ceil_mode=True")
    shape = a.shape if len(a.shape) == 4 else (1, *a.shape)
    sizes = _all(kernel, (1, 1))
    return patches(shape, sizes, stride or sizes, padding, dilation).flatten(-2)


CONVOLUTION: dict[Any, Handler] = {
    aten.convolution: _convolution,
    aten.avg_pool2d: _average,
    aten.max_pool2d_with_indices: _maximum,
}
