"""Sorted values and order statistics, exactly: a fixed network of pairs (min(a, b), max(a, b)) sorts every input.

Where entries are equal the derivatives of min and max take both sides, so those of the sorted values do too. The places
that an order comes from are no numbers and have no rule.

Source: Knuth, The Art of Computer Programming 3, 2nd ed., Algorithm 5.2.2M (Batcher's merge exchange).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.arithmetic import logaddexp
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
LARGEST = 16  # entries; their network has 63 pairs


def comparators(n: int) -> Iterator[tuple[int, int]]:
    """The pairs i < j of a network that sorts n entries."""
    top = 1 << (n - 1).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while d:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            d, q, r = q - p, q >> 1, p
        p >>= 1


def layers(graph: Graph, a: Traced, dim: int) -> list[Traced]:
    """The tensors along a dimension; of a tensor without dimensions itself."""
    shape = a.shape or (1,)
    index = torch.arange(graph.size(a.node)).reshape(shape).movedim(dim, 0)
    return [Traced(graph.take(a.node, part.reshape(-1).tolist()), tuple(part.shape)) for part in index]


def stacked(graph: Graph, parts: list[Traced], shape: tuple[int, ...], dim: int) -> Traced:
    """The inverse of `layers`; `shape` is that of the result."""
    index = torch.arange(sum(graph.size(part.node) for part in parts))
    places = index.reshape(len(parts), *parts[0].shape).movedim(0, dim)
    node = graph.concatenate([part.node for part in parts])
    return Traced(graph.take(node, places.reshape(-1).tolist()), shape)


def ascending(graph: Graph, a: Traced, dim: int) -> list[Traced]:
    """The layers of a tensor, sorted entry by entry."""
    parts = layers(graph, t.number(graph, a), dim)
    if len(parts) > LARGEST:
        raise NotImplementedError(f"{len(parts)} entries to be ordered; a network of comparisons is for {LARGEST}")
    for i, j in comparators(len(parts)):
        parts[i], parts[j] = t.minimum(graph, parts[i], parts[j]), t.maximum(graph, parts[i], parts[j])
    return parts


def _sort(graph: Graph, a: Traced, dim: int = -1, descending: bool = False, stable: Any = None) -> Any:
    parts = ascending(graph, a, dim)
    return stacked(graph, parts[::-1] if descending else parts, a.shape, dim), None


def _topk(graph: Graph, a: Traced, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not sorted:
        raise NotImplementedError("an order that torch leaves open, sorted=False")
    parts = ascending(graph, a, dim)
    chosen = parts[::-1][:k] if largest else parts[:k]
    shape = list(a.shape)
    if shape:
        shape[dim] = k
    return stacked(graph, chosen, tuple(shape), dim), None


def _chosen(graph: Graph, a: Traced, dim: int, keepdim: bool, place: Callable[[int], int]) -> Any:
    parts = ascending(graph, a, dim)
    part = parts[place(len(parts))]
    shape = list(a.shape)
    if shape:
        shape[dim : dim + 1 or None] = [1] * keepdim
    return Traced(part.node, tuple(shape)), None


def _kth(graph: Graph, a: Traced, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return _chosen(graph, a, dim, keepdim, lambda n: k - 1)


def _median(graph: Graph, a: Traced, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of two middle entries, as in torch."""
    if dim is not None:
        return _chosen(graph, a, dim, keepdim, lambda n: (n - 1) // 2)
    flat = Traced(a.node, (graph.size(a.node),))
    return _chosen(graph, flat, 0, False, lambda n: (n - 1) // 2)[0]


def _running(join: Callable[..., Traced], places: bool = False) -> Handler:
    """What is joined of the entries up to each one."""

    def handler(graph: Graph, a: Traced, dim: int, dtype: Any = None) -> Any:
        parts = layers(graph, t.number(graph, a), dim)
        for i in range(1, len(parts)):
            parts[i] = join(graph, parts[i - 1], parts[i])
        values = stacked(graph, parts, a.shape, dim)
        return (values, None) if places else values

    return handler


ORDERING: dict[Any, Handler] = {
    aten.sort: _sort,
    aten.topk: _topk,
    aten.kthvalue: _kth,
    aten.median: _median,
    aten.nanmedian: _median,
    aten.cummax: _running(t.maximum, places=True),
    aten.cummin: _running(t.minimum, places=True),
    aten.cumprod: _running(t.mul),
    aten.logcumsumexp: _running(logaddexp),
}
