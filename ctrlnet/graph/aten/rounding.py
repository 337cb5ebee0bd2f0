"""Rounding to whole numbers, and the remainders of it: angles that wrap, quantised signals, divisions with a rest.

All are written by ⌊a⌋, which jumps at whole numbers and is taken on both sides there: so ⌊a⌋, ⌈a⌉ and a rounded half
are the same to a proof whichever of the two neighbours torch picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
HALF = Fraction(1, 2)


def floor(graph: Graph, a: Any) -> Traced:
    """⌊a⌋; of a rational constant its one value."""
    value = t.number(graph, a)
    held = graph.held(value.node)
    if held is not None:
        return Traced(graph.constant([math.floor(entry) for entry in held.fractions]), value.shape)
    return Traced(graph.unary("floor", value.node), value.shape)


def ceil(graph: Graph, a: Any) -> Traced:
    """-⌊-a⌋."""
    return t.neg(graph, floor(graph, t.neg(graph, a)))


def trunc(graph: Graph, a: Any) -> Traced:
    """⌊max(a, 1/2)⌋ + ⌈min(a, -1/2)⌉: towards zero, and constant around it."""
    return t.add(graph, floor(graph, t.maximum(graph, a, HALF)), ceil(graph, t.minimum(graph, a, -HALF)))


def _round(graph: Graph, a: Any, decimals: int = 0) -> Traced:
    """⌊a 10ᵈ + 1/2⌋ 10⁻ᵈ, of a constant half the even neighbour, as in torch."""
    scale = Fraction(10) ** decimals
    scaled = t.mul(graph, a, scale)
    held = graph.held(scaled.node)
    if held is None:
        whole = floor(graph, t.add(graph, scaled, HALF))
    else:
        whole = Traced(graph.constant([round(entry) for entry in held.fractions]), scaled.shape)
    return t.mul(graph, whole, 1 / scale)


def _remainder(graph: Graph, a: Any, b: Any) -> Traced:
    """a - b ⌊a/b⌋, of the sign of b."""
    return t.sub(graph, a, t.mul(graph, b, floor(graph, t.div(graph, a, b))))


def _fmod(graph: Graph, a: Any, b: Any) -> Traced:
    """a - b trunc(a/b), of the sign of a."""
    return t.sub(graph, a, t.mul(graph, b, trunc(graph, t.div(graph, a, b))))


ROUNDED: dict[str | None, Callable[[Graph, Any], Traced]] = {None: lambda graph, a: a, "floor": floor, "trunc": trunc}


def divide(graph: Graph, a: Any, b: Any, rounding_mode: str | None = None) -> Traced:
    return ROUNDED[rounding_mode](graph, t.div(graph, a, b))


ROUNDING: dict[Any, Handler] = {
    aten.floor: floor,
    aten.ceil: ceil,
    aten.trunc: trunc,
    aten.round: _round,
    aten.frac: lambda graph, a: t.sub(graph, a, trunc(graph, a)),
    aten.remainder: _remainder,
    aten.fmod: _fmod,
    aten.floor_divide: lambda graph, a, b: divide(graph, a, b, "floor"),
}
