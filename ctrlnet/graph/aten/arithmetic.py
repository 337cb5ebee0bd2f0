"""Sums, products, powers and the elementary functions, each an identity of the real functions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.comparisons import both, either
from ctrlnet.graph.aten.rounding import divide
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


def _truths(a: Any, b: Any) -> bool:
    return isinstance(a, Traced) and isinstance(b, Traced) and a.truth is not None and b.truth is not None


def _add(graph: Graph, a: Any, b: Any, alpha: float = 1) -> Traced:
    """The sum of two tensors of truth values is `or`, as in torch."""
    if _truths(a, b):
        return either(graph, a, b)
    return t.add(graph, a, b if alpha == 1 else t.mul(graph, b, alpha))


def _sub(graph: Graph, a: Any, b: Any, alpha: float = 1) -> Traced:
    return t.sub(graph, a, b if alpha == 1 else t.mul(graph, b, alpha))


def _mul(graph: Graph, a: Any, b: Any) -> Traced:
    """The product of two tensors of truth values is `and`, as in torch."""
    return both(graph, a, b) if _truths(a, b) else t.mul(graph, a, b)


def _power(graph: Graph, a: Any, exponent: Any) -> Traced:
    """a^p for a constant exponent, one or one for each entry; c^b = e^(b ln c) for a constant base; else e^(b ln a)."""
    if not isinstance(exponent, Traced):
        if not math.isfinite(exponent):
            raise NotImplementedError(f"the exponent {exponent} is not finite")
        return _constant_power(graph, a, Fraction(exponent))
    base, exponent = t.broadcast_all(graph, (t.number(graph, a), t.number(graph, exponent)))
    held = graph.held(exponent.node)
    if held is None:
        return t.exp(graph, t.mul(graph, exponent, t.log(graph, base)))
    if len(set(held.fractions)) == 1:
        return _constant_power(graph, base, held.fractions[0])
    entries = [Traced(graph.take(base.node, [i]), ()) for i in range(held.size)]
    powers = [_constant_power(graph, entry, p).node for entry, p in zip(entries, held.fractions, strict=True)]
    return Traced(graph.concatenate(powers), base.shape)


def _constant_power(graph: Graph, a: Any, p: Fraction) -> Traced:
    """Integer powers by multiplication, halves by the square root, the others as e^(p ln a)."""
    base = t.number(graph, a)
    if p < 0:
        return t.div(graph, 1, _constant_power(graph, base, -p))
    if p.denominator == 1:
        return Traced(graph.power(base.node, p.numerator), base.shape)
    if p.denominator == 2:
        whole = Traced(graph.power(base.node, p.numerator // 2), base.shape)
        return t.mul(graph, whole, t.sqrt(graph, base))
    return t.exp(graph, t.mul(graph, p, t.log(graph, base)))


def root(graph: Graph, a: Traced, p: Fraction) -> Traced:
    """a^(1/p)."""
    return _constant_power(graph, a, 1 / p)


def _asin(graph: Graph, a: Traced) -> Traced:
    """arcsin z = 2 arctan(z / (1 + √(1 - z²))), by the half angle; defined at ±1 too."""
    cosine = t.sqrt(graph, t.sub(graph, 1, t.square(graph, a)))
    return t.mul(graph, t.atan(graph, t.div(graph, a, t.add(graph, 1, cosine))), 2)


def _acos(graph: Graph, a: Traced) -> Traced:
    return t.sub(graph, t.mul(graph, t.pi(graph), Fraction(1, 2)), _asin(graph, a))


def _asinh(graph: Graph, a: Traced) -> Traced:
    """ln(z + √(z² + 1))."""
    return t.log(graph, t.add(graph, a, t.sqrt(graph, t.add(graph, t.square(graph, a), 1))))


def _acosh(graph: Graph, a: Traced) -> Traced:
    """ln(z + √(z² - 1))."""
    return t.log(graph, t.add(graph, a, t.sqrt(graph, t.sub(graph, t.square(graph, a), 1))))


def _atanh(graph: Graph, a: Traced) -> Traced:
    """ln((1 + z) / (1 - z)) / 2."""
    ratio = t.div(graph, t.add(graph, 1, a), t.sub(graph, 1, a))
    return t.mul(graph, t.log(graph, ratio), Fraction(1, 2))


def _atan2(graph: Graph, y: Traced, x: Traced) -> Traced:
    """2 arctan(y / (√(x² + y²) + x)), the half angle: smooth but on the cut y = 0, x <= 0, where it is undefined."""
    radius = _hypot(graph, y, x)
    return t.mul(graph, t.atan(graph, t.div(graph, y, t.add(graph, radius, x))), 2)


def _hypot(graph: Graph, a: Traced, b: Traced) -> Traced:
    left, right = t.broadcast_all(graph, (t.number(graph, a), t.number(graph, b)))
    n = graph.size(left.node)
    pairs = graph.take(graph.concatenate([left.node, right.node]), [k for i in range(n) for k in (i, n + i)])
    return Traced(graph.norm(pairs, n), left.shape)


def _half_difference(sign: int) -> Handler:
    """(e^z ± e^(-z)) / 2."""

    def handler(graph: Graph, a: Traced) -> Traced:
        reflected = t.mul(graph, t.exp(graph, t.neg(graph, a)), sign)
        return t.mul(graph, t.add(graph, t.exp(graph, a), reflected), Fraction(1, 2))

    return handler


def _logarithm(base: int) -> Handler:
    return lambda graph, a: t.div(graph, t.log(graph, a), t.log(graph, base))


def _addcmul(graph: Graph, a: Traced, b: Traced, c: Traced, value: float = 1) -> Traced:
    return t.add(graph, a, t.product(graph, b, c, value))


def _addcdiv(graph: Graph, a: Traced, b: Traced, c: Traced, value: float = 1) -> Traced:
    return t.add(graph, a, t.mul(graph, t.div(graph, b, c), value))


def _logit(graph: Graph, a: Traced, eps: float | None = None) -> Traced:
    inside = a if eps is None else t.minimum(graph, t.maximum(graph, a, Fraction(eps)), 1 - Fraction(eps))
    return t.log(graph, t.div(graph, inside, t.sub(graph, 1, inside)))


def logaddexp(graph: Graph, a: Any, b: Any) -> Traced:
    """ln(eᵃ + eᵇ) = b + softplus(a - b)."""
    return t.add(graph, b, t.softplus(graph, t.sub(graph, a, b)))


def _lerp(graph: Graph, a: Traced, b: Traced, weight: Any) -> Traced:
    return t.add(graph, a, t.mul(graph, weight, t.sub(graph, b, a)))


def _sign(graph: Graph, a: Traced) -> Traced:
    """1 or -1, and both at zero, where torch says 0."""
    return t.positive(graph, a, 1, -1)


ARITHMETIC: dict[Any, Handler] = {
    aten.add: _add,
    aten.sub: _sub,
    aten.rsub: lambda graph, a, b, alpha=1: _sub(graph, b, a, alpha),
    aten.mul: _mul,
    aten.div: divide,
    aten.addcmul: _addcmul,
    aten.addcdiv: _addcdiv,
    aten.lerp: _lerp,
    aten.reciprocal: lambda graph, a: t.div(graph, 1, a),
    aten.neg: t.neg,
    aten.abs: t.absolute,
    aten.sign: _sign,
    aten.sgn: _sign,
    aten.copysign: lambda graph, a, b: t.positive(graph, b, t.absolute(graph, a), t.neg(graph, t.absolute(graph, a))),
    aten.pow: _power,
    aten.ldexp: lambda graph, a, b: t.mul(graph, a, _power(graph, 2, b)),
    aten.sqrt: t.sqrt,
    aten.rsqrt: lambda graph, a: t.div(graph, 1, t.sqrt(graph, a)),
    aten.hypot: _hypot,
    aten.exp: t.exp,
    aten.exp2: lambda graph, a: t.exp(graph, t.mul(graph, a, t.log(graph, 2))),
    aten.expm1: lambda graph, a: t.sub(graph, t.exp(graph, a), 1),
    aten.log: t.log,
    aten.log1p: lambda graph, a: t.log(graph, t.add(graph, a, 1)),
    aten.log2: _logarithm(2),
    aten.log10: _logarithm(10),
    aten.logit: _logit,
    aten.logaddexp: logaddexp,
    aten.sin: t.sin,
    aten.cos: t.cos,
    aten.tan: lambda graph, a: t.div(graph, t.sin(graph, a), t.cos(graph, a)),
    aten.asin: _asin,
    aten.acos: _acos,
    aten.atan: t.atan,
    aten.atan2: _atan2,
    aten.sinh: _half_difference(-1),
    aten.cosh: _half_difference(1),
    aten.tanh: t.tanh,
    aten.asinh: _asinh,
    aten.acosh: _acosh,
    aten.atanh: _atanh,
    aten.erf: t.erf,
    aten.erfc: lambda graph, a: t.sub(graph, 1, t.erf(graph, a)),
    aten.deg2rad: lambda graph, a: t.product(graph, a, t.pi(graph), Fraction(1, 180)),
    aten.rad2deg: lambda graph, a: t.div(graph, t.mul(graph, a, 180), t.pi(graph)),
}
