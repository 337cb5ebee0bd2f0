"""Interval bounds of every primitive over a batch of boxes, one rule a primitive, outward rounded.

An `Interval` holds lower and upper bounds of shape (B, k) float64 for a node of size k over B boxes (B = 1 for what
does not depend on the state). A rule states the set that its result contains, for every real value of its arguments
within theirs. NaN and infinities are legal results: they prove nothing, since every proof asks for "lower bound > 0".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ctrlnet.graph import Constant, Graph
from ctrlnet.prover import ranges
from ctrlnet.prover.ranges import Interval, increasing, square, square_root, undefined_where
from ctrlnet.prover.rounding import ELEMENTARY, LEAST, TINY, above, below, finite, gamma, raised

__all__ = ["RULES", "Interval", "Rule", "enclosed", "interval_bounds", "joined", "linear"]

FEW = 4  # terms of a sum that are added one by one

Rule = Callable[[Sequence[Interval], Any], Interval]


def enclosed(held: Constant, like: Tensor) -> Interval:
    """A constant: itself where it is a float64, else the two floats around the rational."""
    nearest = torch.as_tensor(held.nearest, dtype=torch.float64, device=like.device)[None]
    return Interval(nearest, nearest) if held.floats is not None else Interval(below(nearest), above(nearest))


def _add(a: Interval, b: Interval) -> Interval:
    """A sum that is zero is exact: it stays zero, so that a sum of squares keeps its sign."""
    return Interval(_exact_zero(below(a.lower + b.lower)), _exact_zero(above(a.upper + b.upper)))


def _exact_zero(bound: Tensor) -> Tensor:
    """The neighbours ±2⁻¹⁰⁷⁴ of zero become zero, which for a sum of two numbers is a bound too."""
    return torch.nn.functional.hardshrink(bound, LEAST)


def _neg(a: Interval) -> Interval:
    return Interval(-a.upper, -a.lower)


def _mul(a: Interval, b: Interval) -> Interval:
    """The hull of the four products of ends, of two where one factor is a number. 0 times an unbounded end is NaN."""
    if a.lower is a.upper or b.lower is b.upper:
        number, other = (a.lower, b) if a.lower is a.upper else (b.lower, a)
        return _hull(number * other.lower, number * other.upper)
    low, high = (_hull(end * b.lower, end * b.upper) for end in a)
    return Interval(torch.minimum(low.lower, high.lower), torch.maximum(low.upper, high.upper))


def _hull(p: Tensor, q: Tensor) -> Interval:
    return Interval(below(torch.minimum(p, q)), above(torch.maximum(p, q)))


def _div(a: Interval, b: Interval) -> Interval:
    """a (1/b) with 1/b in [1/ub, 1/lb] where b has one sign, undefined otherwise."""
    crosses = ~((b.lower > 0) | (b.upper < 0))  # NaN crosses too
    inverse = Interval(below(1 / b.upper), above(1 / b.lower))
    return _mul(a, Interval(*(bound.masked_fill(crosses, math.nan) for bound in inverse)))


def linear(a: Interval, weight: Tensor) -> Interval:
    """W a: with midpoint m and radius ρ, W m ± (|W| ρ + γ |W| (|m| + ρ))."""
    middle = 0.5 * a.lower + 0.5 * a.upper
    radius = raised(torch.maximum(a.upper - middle, middle - a.lower))
    spread = raised(radius + gamma(weight.shape[1]) * (middle.abs() + radius))
    value = finite(middle @ weight.T)
    width = raised(raised(spread @ weight.T.abs()) * (1 + gamma(weight.shape[1])))
    return Interval(below(value - width), above(value + width))


def parted_sum(value: Tensor, groups: int) -> Tensor:
    """Sums of consecutive equal parts of the last axis; of short parts entry by entry, as torch's reduction is slow."""
    parts = value.unflatten(-1, (groups, -1))
    total: Tensor = functools.reduce(torch.add, parts.unbind(-1)) if parts.shape[-1] <= FEW else parts.sum(-1)
    return total


def _sum(a: Interval, groups: int) -> Interval:
    """Sums of consecutive equal parts; not negative where no term is."""
    m = a.lower.shape[-1] // groups
    if m <= FEW:
        columns = (bound.unflatten(-1, (groups, m)).unbind(-1) for bound in a)
        return functools.reduce(_add, (Interval(*pair) for pair in zip(*columns, strict=True)))
    pad = raised(gamma(m) * parted_sum(a.magnitude, groups))
    least = torch.where(a.lower.unflatten(-1, (groups, m)).amin(-1) >= 0, 0.0, -math.inf)
    lower, upper = (parted_sum(bound, groups) for bound in a)
    return Interval(torch.maximum(below(lower - pad), least), above(upper + pad))


def _norm(a: Interval, groups: int) -> Interval:
    """√(Σ aᵢ²) of consecutive equal parts."""
    return square_root(_sum(square(a), groups))


def _unit(a: Interval, groups: int) -> Interval:
    """aᵢ/√(aᵢ² + s), s the sum of the other squares: increasing in aᵢ, of its sign, and smaller in size for larger s.

    So its extremes are at the ends of aᵢ, with the least s where that makes the range larger. Where a can be zero the
    derivative of the norm is set-valued, within the unit ball: [-1, 1]. TINY covers underflows.
    """
    parts = Interval(*(bound.unflatten(-1, (groups, -1)) for bound in a))
    squares = square(parts)
    least, most = (total.sum(-1, keepdim=True) for total in squares)
    slack = raised(gamma(a.lower.shape[-1] // groups) * most)
    near, far = least - squares.lower - slack, most - squares.upper + slack
    low = torch.where(parts.lower < 0, _outward(parts.lower, near), _inward(parts.lower, far)) - TINY
    high = torch.where(parts.upper > 0, _outward(parts.upper, near), _inward(parts.upper, far)) + TINY
    zero = (squares.lower == 0).all(-1, keepdim=True)
    low = torch.where(zero | low.isnan(), -1.0, low).clamp(min=-1.0)
    high = torch.where(zero | high.isnan(), 1.0, high).clamp(max=1.0)
    unknown = most.isnan()
    return Interval(*(bound.masked_fill(unknown, math.nan).flatten(-2) for bound in (low, high)))


def _outward(z: Tensor, rest: Tensor) -> Tensor:
    """At least z/√(z² + s) in size for every s >= rest; four roundings."""
    return z / (z.square() + rest - TINY).clamp(min=0.0).sqrt() * (1 + ELEMENTARY)


def _inward(z: Tensor, rest: Tensor) -> Tensor:
    """At most z/√(z² + s) in size for every s <= rest; four roundings."""
    return z / (z.square() + rest + TINY).sqrt() * (1 - ELEMENTARY)


def _select(c: Interval, a: Interval, b: Interval) -> Interval:
    """a where c > 0, b where c < 0, else the hull: a branch that is not taken may be undefined."""
    first, second = c.lower > 0, c.upper < 0
    low, high = torch.minimum(a.lower, b.lower), torch.maximum(a.upper, b.upper)
    low = torch.where(first, a.lower, torch.where(second, b.lower, low))
    high = torch.where(first, a.upper, torch.where(second, b.upper, high))
    return undefined_where(c, Interval(low, high))


RULES: dict[str, Rule] = {
    "take": lambda a, index: Interval(*(entries(bound, index) for bound in a[0])),
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
    "square": lambda a, _: square(a[0]),
    "power": lambda a, exponent: ranges.power(a[0], exponent),
    "sqrt": lambda a, _: square_root(a[0]),
    "sin": lambda a, _: ranges.sine(a[0]),
    "cos": lambda a, _: ranges.cosine(a[0]),
    "exp": lambda a, _: increasing(torch.exp, 0.0, math.inf)(a[0]),
    "log": lambda a, _: ranges.logarithm(a[0]),
    "tanh": lambda a, _: increasing(torch.tanh, -1.0, 1.0)(a[0]),
    "atan": lambda a, _: increasing(torch.atan, -ranges.RIGHT_ANGLE, ranges.RIGHT_ANGLE)(a[0]),
    "softplus": lambda a, _: increasing(ranges.softplus_value, 0.0, math.inf, 3 * ELEMENTARY)(a[0]),
    "erf": lambda a, _: increasing(torch.erf, -1.0, 1.0)(a[0]),
    "bell": lambda a, _: ranges.bell(a[0]),
    "relu": lambda a, _: Interval(a[0].lower.clamp(min=0.0), a[0].upper.clamp(min=0.0)),
    "abs": lambda a, _: ranges.magnitude(a[0]),
    "floor": lambda a, _: ranges.floor(a[0]),
    "step": lambda a, _: ranges.step(a[0]),
    "jump": lambda a, _: ranges.jump(a[0]),
    "norm": lambda a, groups: _norm(a[0], groups),
    "unit": lambda a, groups: _unit(a[0], groups),
    "select": lambda a, _: _select(*a),
}


def entries(value: Tensor, index: Sequence[int]) -> Tensor:
    """The entries `index` of the last axis; a view of consecutive ones."""
    start = index[0]
    if tuple(index) == tuple(range(start, start + len(index))):
        return value[..., start : start + len(index)]
    return value[..., list(index)]


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
