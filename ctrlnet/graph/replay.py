"""Operations whose own results on chosen tensors say what they do: movements, and affine maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ctrlnet.graph.aten import Traced
from ctrlnet.graph.aten.movements import INDEXED, ZEROING
from ctrlnet.graph.aten.traced import broadcast, number, where
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.refusals import MASK, PLACE, refusal
from ctrlnet.graph.tensors import Tensors, leaves

aten = torch.ops.aten


def moved(known: Tensors, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Traced]:
    """Run a movement on entry numbers; the numbers that come out select from the concatenated inputs.

    Entry 0 is the number that the operation writes between the entries, where it writes one.
    """
    graph, place, filling = known.graph, _place(known, func, args), func.overloadpacket in ZEROING

    free = [a for i, a in enumerate(args) if i != place]
    values = _aligned(graph, [known.traced(tensor) for tensor in leaves([free, list(kwargs.values())])])
    truth = values[0].truth
    nodes = [graph.constant([_filler(func, args, truth)])] if filling else []
    offset = len(nodes)
    numbers = []
    for value in values:
        nodes.append(value.node)
        numbers.append(torch.arange(offset, offset + graph.size(value.node)).reshape(value.shape))
        offset += graph.size(value.node)
    queue = iter(numbers)
    arguments = [_replaced(a, queue) if i != place else a for i, a in enumerate(args)]
    if func.overloadpacket is aten.constant_pad_nd:
        arguments = arguments[:2]
    places = func(*arguments, **{key: _replaced(value, queue) for key, value in kwargs.items()})
    source = graph.concatenate(nodes)
    return [
        Traced(graph.take(source, index.reshape(-1).tolist()), tuple(index.shape), truth) for index in leaves(places)
    ]


def mapped(known: Tensors, func: Any, args: Sequence[Any], kwargs: dict[str, Any], shape: tuple[int, ...]) -> Traced:
    """An affine operation A v + b: b is its result at v = 0, column i of A what the i-th unit vector adds to it."""
    chosen = masked(known, args) if func.overloadpacket is aten.index_put and not kwargs else None
    if chosen is not None:
        return chosen
    graph, place = known.graph, _place(known, func, args)
    positions = [i for i, a in enumerate(args) if isinstance(a, Tensor) and i != place]
    nodes = [number(graph, known.traced(args[i])).node for i in positions]
    sizes = [graph.size(node) for node in nodes]

    def image(flat: Tensor) -> Tensor:
        parts = dict(zip(positions, flat.split(sizes), strict=True))
        filled = [parts[i].reshape(a.shape) if i in parts else a for i, a in enumerate(args)]
        return torch.as_tensor(func(*filled, **kwargs)).double().reshape(-1)

    offset = image(torch.zeros(sum(sizes), dtype=torch.float64))
    columns = [image(unit) - offset for unit in torch.eye(sum(sizes), dtype=torch.float64)]
    node = graph.linear(graph.concatenate(nodes), torch.stack(columns, -1).contiguous().numpy())
    return Traced(graph.binary("add", node, graph.constant(offset.numpy())), shape)


def masked(known: Tensors, args: Sequence[Any]) -> Traced | None:
    """y[mask] = v with truth values made of the state: v where the mask holds, else y; None for any other index.

    v must be one number, as v[mask] would have as many entries as the mask has true ones.
    """
    y, indices, v, *accumulate = args
    (mask,) = indices if len(indices) == 1 else (None,)
    if mask is None or mask.dtype != torch.bool or not known.depends(mask) or v.numel() != 1 or any(accumulate):
        return None
    holds, shape = known.traced(mask), tuple(y.shape)
    spread = Traced(holds.node, (*holds.shape, *(1,) * (y.dim() - mask.dim())), holds.truth)
    value = Traced(known.traced(v).node, ())
    return broadcast(known.graph, where(known.graph, spread, value, known.traced(y)), shape)


def _place(known: Tensors, func: Any, args: Sequence[Any]) -> int | None:
    """The position of the argument that says where to look; it must be a constant."""
    place = INDEXED.get(func.overloadpacket)
    looked = [] if place is None else [tensor for tensor in leaves(args[place]) if known.depends(tensor)]
    if looked:
        raise refusal(func, MASK if any(tensor.dtype == torch.bool for tensor in looked) else PLACE)
    return place


def _aligned(graph: Graph, values: list[Traced]) -> list[Traced]:
    """All numbers, or all truth values that hold where their condition is positive."""
    if any(value.truth is None for value in values):
        return [number(graph, value) for value in values]
    if len({value.truth for value in values}) == 1:
        return values
    return [v if v.truth else Traced(graph.unary("neg", v.node), v.shape, True) for v in values]


def _filler(func: Any, args: Sequence[Any], truth: bool | None) -> Any:
    """The number written between the entries: zero, or the number of a padding; for truth values their condition."""
    written = args[2] if func.overloadpacket is aten.constant_pad_nd and len(args) > 2 else 0
    return written if truth is None else 1 if bool(written) == truth else -1


def _replaced(value: Any, numbers: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(part, numbers) for part in value)
    return next(numbers) if isinstance(value, Tensor) else value
