"""Interval bounds of every primitive over a batch of boxes, one rule a primitive, outward rounded.

An `Interval` holds lower and upper bounds of shape (B, k) float64 for a node of size k over B boxes (B = 1 for what
does not depend on the state). A rule states the set that its result contains, for every real value of its arguments
within theirs. NaN and infinities are legal results: they prove nothing, since every proof asks for "lower bound > 0".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ctrlnet.graph import Constant, Graph
from ctrlnet.prover.rounding import ELEMENTARY, TINY, above, below, finite, gamma, raised


class Interval(NamedTuple):
    lower: Tensor
    upper: Tensor

    @property
    def magnitude(self) -> Tensor:
        return torch.maximum(self.lower.abs(), self.upper.abs())


Rule = Callable[[Sequence[Interval], Any], Interval]


def enclosed(held: Constant, like: Tensor) -> Interval:
    """A constant: itself where it is a float64, else the two floats around the rational."""
    nearest = torch.as_tensor(held.nearest, dtype=torch.float64, device=like.device)[None]
    return Interval(nearest, nearest) if held.floats is not None else Interval(below(nearest), above(nearest))


def _add(a: Interval, b: Interval) -> Interval:
    return Interval(below(a.lower + b.lower), above(a.upper + b.upper))


def _neg(a: Interval) -> Interval:
    return Interval(-a.upper, -a.lower)


def _mul(a: Interval, b: Interval) -> Interval:
    """The hull of the four products of ends. 0 times an unbounded end is NaN and stays so."""
    products = torch.stack(
        torch.broadcast_tensors(a.lower * b.lower, a.lower * b.upper, a.upper * b.lower, a.upper * b.upper)
    )
    return Interval(below(products.amin(0)), above(products.amax(0)))


def _div(a: Interval, b: Interval) -> Interval:
    """a (1/b) with 1/b in [1/ub, 1/lb] where b has one sign, all reals otherwise."""
    crosses = ~((b.lower > 0) | (b.upper < 0))  # NaN crosses too
    low = torch.where(crosses, -math.inf, below(1 / b.upper))
    high = torch.where(crosses, math.inf, above(1 / b.lower))
    return _mul(a, Interval(low, high))


def linear(a: Interval, weight: Tensor) -> Interval:
    """W a: with midpoint m and radius ρ, W m ± (|W| ρ + γ |W| (|m| + ρ))."""
    middle = 0.5 * a.lower + 0.5 * a.upper
    radius = raised(torch.maximum(a.upper - middle, middle - a.lower))
    spread = raised(radius + gamma(weight.shape[1]) * (middle.abs() + radius))
    value = finite(middle @ weight.T)
    width = raised(raised(spread @ weight.T.abs()) * (1 + gamma(weight.shape[1])))
    return Interval(below(value - width), above(value + width))


def _sum(a: Interval, groups: int) -> Interval:
    m = a.lower.shape[-1] // groups
    pad = raised(gamma(m) * a.magnitude.unflatten(-1, (groups, m)).sum(-1))
    lower, upper = (bound.unflatten(-1, (groups, m)).sum(-1) for bound in a)
    return Interval(below(lower - pad), above(upper + pad))


def _square(a: Interval) -> Interval:
    low, high = a.lower.square(), a.upper.square()
    crosses = (a.lower <= 0) & (a.upper >= 0)
    least = torch.where(crosses, 0.0, below(torch.minimum(low, high)).clamp(min=0.0))
    return Interval(least, above(torch.maximum(low, high)))


def _abs(a: Interval) -> Interval:
    least = torch.maximum(a.lower, -a.upper).clamp(min=0.0)
    return Interval(least, a.magnitude)


def _increasing(function: Callable[[Tensor], Tensor], lowest: float, highest: float) -> Callable[[Interval], Interval]:
    """f increasing with values in [lowest, highest]: [f(l) - e, f(u) + e], e the assumed error of the library."""

    def rule(a: Interval) -> Interval:
        low, high = function(a.lower), function(a.upper)
        low, high = low - low.abs() * ELEMENTARY - TINY, high + high.abs() * ELEMENTARY + TINY
        return Interval(low.clamp(min=lowest), high.clamp(max=highest))

    return rule


def _sin(a: Interval) -> Interval:
    return cosine(Interval(below(a.lower - math.pi / 2), above(a.upper - math.pi / 2)), shift=2.0**-52)


def cosine(a: Interval, shift: float = 0.0) -> Interval:
    """cos over [l, u]: the ends, and ±1 where a multiple of π may lie inside (the index l/π carries a margin).

    `shift` bounds an extra error of the argument (sin uses cos(z - π/2), whose π/2 is rounded); |cos'| <= 1.
    """
    margin = 1e-9 + 1e-12 * a.magnitude
    first, last = torch.ceil((a.lower - margin) / math.pi), torch.floor((a.upper + margin) / math.pi)
    many = last - first >= 1
    even, odd = torch.remainder(first, 2) == 0, torch.remainder(first, 2) == 1
    one = last == first
    ends = torch.stack((torch.cos(a.lower), torch.cos(a.upper)))
    pad = ELEMENTARY + shift
    low = torch.where(many | (one & odd), -1.0, ends.amin(0) - pad)
    high = torch.where(many | (one & even), 1.0, ends.amax(0) + pad)
    huge = ~(a.magnitude < 1e6)
    return Interval(torch.where(huge, -1.0, low).clamp(min=-1.0), torch.where(huge, 1.0, high).clamp(max=1.0))


def _step(a: Interval) -> Interval:
    """Clarke hull of the derivative of relu: [0, 1] where a can be zero, by equality too."""
    return Interval((a.lower > 0).to(a.lower), (~(a.upper < 0)).to(a.lower))


def _jump(a: Interval) -> Interval:
    """Derivative of step: 0 away from zero, unbounded where a can be zero."""
    away = (a.lower > 0) | (a.upper < 0)
    return Interval(torch.where(away, 0.0, -math.inf).to(a.lower), torch.where(away, 0.0, math.inf).to(a.lower))


RULES: dict[str, Rule] = {
    "take": lambda a, index: Interval(a[0].lower[:, list(index)], a[0].upper[:, list(index)]),
    "concatenate": lambda a, _: Interval(joined([part.lower for part in a]), joined([part.upper for part in a])),
    "linear": lambda a, weight: linear(a[0], torch.as_tensor(weight, device=a[0].lower.device)),
    "sum": lambda a, groups: _sum(a[0], groups),
    "add": lambda a, _: _add(*a),
    "sub": lambda a, _: _add(a[0], _neg(a[1])),
    "mul": lambda a, _: _mul(*a),
    "div": lambda a, _: _div(*a),
    "maximum": lambda a, _: Interval(torch.maximum(a[0].lower, a[1].lower), torch.maximum(a[0].upper, a[1].upper)),
    "minimum": lambda a, _: Interval(torch.minimum(a[0].lower, a[1].lower), torch.minimum(a[0].upper, a[1].upper)),
    "neg": lambda a, _: _neg(a[0]),
    "square": lambda a, _: _square(a[0]),
    "sin": lambda a, _: _sin(a[0]),
    "cos": lambda a, _: cosine(a[0]),
    "exp": lambda a, _: _increasing(torch.exp, 0.0, math.inf)(a[0]),
    "tanh": lambda a, _: _increasing(torch.tanh, -1.0, 1.0)(a[0]),
    "relu": lambda a, _: Interval(a[0].lower.clamp(min=0.0), a[0].upper.clamp(min=0.0)),
    "abs": lambda a, _: _abs(a[0]),
    "step": lambda a, _: _step(a[0]),
    "jump": lambda a, _: _jump(a[0]),
}


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the last axis, with parts that do not depend on the state spread over the batch."""
    batch = max(part.shape[0] for part in parts)
    return torch.cat([part.expand(batch, *part.shape[1:]) for part in parts], -1 if parts[0].dim() == 2 else 1)


def interval_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Interval]:
    """Interval enclosures of the outputs over the boxes [lower, upper], each of shape (B, n)."""
    values: dict[int, Interval] = {}
    for number in graph.reachable(outputs):
        node = graph.nodes[number]
        if node.operation == "input":
            values[number] = Interval(lower, upper)
        elif node.operation == "constant":
            values[number] = enclosed(node.attribute, lower)
        else:
            values[number] = RULES[node.operation]([values[a] for a in node.arguments], node.attribute)
    batch = lower.shape[0]
    return [Interval(*(bound.expand(batch, -1) for bound in values[output])) for output in outputs]
