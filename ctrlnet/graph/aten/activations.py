"""Activations of neural networks in primitives, each by an identity of the real functions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.reductions import clamp
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
HALF = Fraction(1, 2)
CUBIC = Fraction("0.044715")  # of the tanh form of gelu (Hendrycks and Gimpel, arXiv:1606.08415)


def sigmoid(graph: Graph, a: Any) -> Traced:
    """σ(z) = (1 + tanh(z/2)) / 2."""
    return t.add(graph, t.mul(graph, t.tanh(graph, t.mul(graph, a, HALF)), HALF), HALF)


def _leaky_relu(graph: Graph, a: Traced, slope: float = 0.01) -> Traced:
    """s z + (1 - s) relu(z)."""
    return t.add(graph, t.mul(graph, a, slope), t.mul(graph, t.relu(graph, a), 1 - Fraction(slope)))


def _prelu(graph: Graph, a: Traced, weight: Traced) -> Traced:
    """w z + (1 - w) relu(z)."""
    return t.add(graph, t.mul(graph, a, weight), t.mul(graph, t.relu(graph, a), t.sub(graph, 1, weight)))


def _elu(graph: Graph, a: Traced, alpha: float = 1, scale: float = 1, input_scale: Any = 1) -> Traced:
    """scale (relu(z) + α (e^(s min(z, 0)) - 1))."""
    power = t.exp(graph, t.mul(graph, t.minimum(graph, a, 0), input_scale))
    tail = t.mul(graph, t.sub(graph, power, 1), alpha)
    return t.mul(graph, t.add(graph, t.relu(graph, a), tail), scale)


def gelu_argument(graph: Graph, a: Traced) -> Traced:
    """√(2/π) (z + 0.044715 z³), with √(2/π) = √(1 / (2 arctan 1))."""
    factor = t.sqrt(graph, t.div(graph, HALF, t.atan(graph, 1)))
    cubic = t.mul(graph, Traced(graph.power(a.node, 3), a.shape), CUBIC)
    return t.mul(graph, factor, t.add(graph, a, cubic))


def gelu_gate(graph: Graph, a: Traced, approximate: str) -> Traced:
    """gelu(z) / z: the normal distribution function (1 + erf(z/√2)) / 2, or its form by tanh."""
    if approximate == "tanh":
        inner = t.tanh(graph, gelu_argument(graph, a))
    else:
        inner = t.erf(graph, t.mul(graph, a, t.sqrt(graph, HALF)))
    return t.mul(graph, t.add(graph, inner, 1), HALF)


def _gelu(graph: Graph, a: Traced, approximate: str = "none") -> Traced:
    return t.mul(graph, a, gelu_gate(graph, a, approximate))


def _softplus(graph: Graph, a: Traced, beta: float = 1, threshold: float = 20) -> Traced:
    """ln(1 + e^(βz)) / β. Beyond βz = 20 torch returns z, which differs by less than 3e-9: a numerical short cut."""
    if threshold < 20:
        raise NotImplementedError(f"softplus jumps at the threshold {threshold}; leave it at 20 or more")
    scale = Fraction(beta)
    return t.mul(graph, t.softplus(graph, t.mul(graph, a, scale)), 1 / scale)


def _log_sigmoid(graph: Graph, a: Traced) -> Any:
    return t.neg(graph, t.softplus(graph, t.neg(graph, a))), None


def _mish(graph: Graph, a: Traced) -> Traced:
    return t.mul(graph, a, t.tanh(graph, t.softplus(graph, a)))


def hard_sigmoid(graph: Graph, a: Traced) -> Traced:
    """clamp(z + 3, 0, 6) / 6."""
    return t.mul(graph, clamp(graph, t.add(graph, a, 3), 0, 6), Fraction(1, 6))


def _hardshrink(graph: Graph, a: Traced, bound: float = 0.5) -> Traced:
    return t.positive(graph, t.sub(graph, t.absolute(graph, a), bound), a, 0)


def _softshrink(graph: Graph, a: Traced, bound: float = 0.5) -> Traced:
    """z - clamp(z, -λ, λ)."""
    return t.sub(graph, a, clamp(graph, a, -bound, bound))


def _threshold(graph: Graph, a: Traced, threshold: float, value: float) -> Traced:
    return t.positive(graph, t.sub(graph, a, threshold), a, value)


def _glu(graph: Graph, a: Traced, dim: int = -1) -> Traced:
    index = torch.arange(graph.size(a.node)).reshape(a.shape).chunk(2, dim)
    left, gate = (Traced(graph.take(a.node, part.reshape(-1).tolist()), tuple(part.shape)) for part in index)
    return t.mul(graph, left, sigmoid(graph, gate))


ACTIVATIONS: dict[Any, Handler] = {
    aten.sigmoid: sigmoid,
    aten.log_sigmoid_forward: _log_sigmoid,
    aten.silu: lambda graph, a: t.mul(graph, a, sigmoid(graph, a)),
    aten.mish: _mish,
    aten.softplus: _softplus,
    aten.relu: t.relu,
    aten.leaky_relu: _leaky_relu,
    aten._prelu_kernel: _prelu,
    aten.elu: _elu,
    aten.celu: lambda graph, a, alpha=1: _elu(graph, a, alpha, 1, 1 / Fraction(alpha)),
    aten.gelu: _gelu,
    aten.glu: _glu,
    aten.hardtanh: lambda graph, a, low=-1, high=1: clamp(graph, a, low, high),
    aten.hardsigmoid: hard_sigmoid,
    aten.hardswish: lambda graph, a: t.mul(graph, a, hard_sigmoid(graph, a)),
    aten.hardshrink: _hardshrink,
    aten.softshrink: _softshrink,
    aten.threshold: _threshold,
}
