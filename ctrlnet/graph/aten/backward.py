"""The derivatives that torch.func leaves in a function: what autograd calls backward operations.

At a kink autograd picks one side; here both are taken, as conditions that are zero there.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.activations import CUBIC, HALF, gelu_argument, gelu_gate, sigmoid
from ctrlnet.graph.aten.reductions import total
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


def _one_minus(graph: Graph, a: Traced) -> Traced:
    return t.sub(graph, 1, a)


def _between(graph: Graph, a: Traced, low: Any, high: Any, inside: Traced, outside: Any) -> Traced:
    """`inside` where low < a < high."""
    condition = t.minimum(graph, t.sub(graph, a, low), t.sub(graph, high, a))
    return t.positive(graph, condition, inside, outside)


def _threshold(graph: Graph, g: Traced, a: Traced, threshold: float) -> Traced:
    return t.positive(graph, t.sub(graph, a, threshold), g, 0)


def _tanh(graph: Graph, g: Traced, result: Traced) -> Traced:
    return t.mul(graph, g, _one_minus(graph, t.square(graph, result)))


def _sigmoid(graph: Graph, g: Traced, result: Traced) -> Traced:
    return t.product(graph, g, result, _one_minus(graph, result))


def _leaky_relu(graph: Graph, g: Traced, a: Traced, slope: float, is_result: bool) -> Traced:
    return t.positive(graph, a, g, t.mul(graph, g, slope))


def _prelu(graph: Graph, g: Traced, a: Traced, weight: Traced) -> Any:
    return t.positive(graph, a, g, t.mul(graph, weight, g)), t.positive(graph, a, 0, t.mul(graph, a, g))


def _elu(graph: Graph, g: Traced, alpha: float, scale: float, input_scale: float, is_result: bool, a: Traced) -> Traced:
    """scale for z > 0; scale α s e^(s z) for z < 0, which is s (f + α scale) of the result f."""
    if is_result:
        slope = t.mul(graph, t.add(graph, a, Fraction(alpha) * Fraction(scale)), input_scale)
    else:
        power = t.exp(graph, t.mul(graph, t.minimum(graph, a, 0), input_scale))
        slope = t.mul(graph, power, Fraction(alpha) * Fraction(scale) * Fraction(input_scale))
    return t.positive(graph, a, t.mul(graph, g, scale), t.mul(graph, g, slope))


def _gelu(graph: Graph, g: Traced, a: Traced, approximate: str = "none") -> Traced:
    """Φ(z) + z Φ'(z), with Φ' = e^(-z²/2) / √(2π), or the derivative of the form by tanh."""
    if approximate == "tanh":
        inner = _one_minus(graph, t.square(graph, t.tanh(graph, gelu_argument(graph, a))))
        outer = _gelu_argument_slope(graph, a)
        density = t.product(graph, inner, outer, HALF)
    else:
        root = t.sqrt(graph, t.div(graph, Fraction(1, 8), t.atan(graph, 1)))  # 1/√(2π) = √(1 / (8 arctan 1))
        density = t.mul(graph, root, t.exp(graph, t.mul(graph, t.square(graph, a), -HALF)))
    return t.mul(graph, g, t.add(graph, gelu_gate(graph, a, approximate), t.mul(graph, a, density)))


def _gelu_argument_slope(graph: Graph, a: Traced) -> Traced:
    """√(2/π) (1 + 3 · 0.044715 z²)."""
    factor = t.sqrt(graph, t.div(graph, HALF, t.atan(graph, 1)))
    return t.mul(graph, factor, t.add(graph, t.mul(graph, t.square(graph, a), 3 * CUBIC), 1))


def _silu(graph: Graph, g: Traced, a: Traced) -> Traced:
    """σ (1 + z (1 - σ))."""
    s = sigmoid(graph, a)
    return t.product(graph, g, s, t.add(graph, t.mul(graph, a, _one_minus(graph, s)), 1))


def _mish(graph: Graph, g: Traced, a: Traced) -> Traced:
    """w + z σ(z) (1 - w²) with w = tanh(softplus z)."""
    w = t.tanh(graph, t.softplus(graph, a))
    slope = t.product(graph, a, sigmoid(graph, a), _one_minus(graph, t.square(graph, w)))
    return t.mul(graph, g, t.add(graph, w, slope))


def _softplus(graph: Graph, g: Traced, a: Traced, beta: float, threshold: float) -> Traced:
    return t.mul(graph, g, sigmoid(graph, t.mul(graph, a, Fraction(beta))))


def _log_sigmoid(graph: Graph, g: Traced, a: Traced, buffer: Any) -> Traced:
    return t.mul(graph, g, sigmoid(graph, t.neg(graph, a)))


def _hardtanh(graph: Graph, g: Traced, a: Traced, low: float, high: float) -> Traced:
    return _between(graph, a, low, high, g, 0)


def _hardsigmoid(graph: Graph, g: Traced, a: Traced) -> Traced:
    """1/6 between -3 and 3, which torch holds in float32."""
    sixth = Fraction(float(np.float32(1) / np.float32(6)))
    return _between(graph, a, -3, 3, t.mul(graph, g, sixth), 0)


def _hardswish(graph: Graph, g: Traced, a: Traced) -> Traced:
    """0 below -3, z/3 + 1/2 up to 3, and 1."""
    middle = t.add(graph, t.mul(graph, a, Fraction(1, 3)), HALF)
    slope = _between(graph, a, -3, 3, middle, t.positive(graph, a, 1, 0))
    return t.mul(graph, g, slope)


def _shrink(graph: Graph, g: Traced, a: Traced, bound: float) -> Traced:
    return t.positive(graph, t.sub(graph, t.absolute(graph, a), bound), g, 0)


def _softmax(graph: Graph, g: Traced, result: Traced, dim: int, dtype: Any) -> Traced:
    """s (g - Σ g s)."""
    along = total(graph, t.mul(graph, g, result), dim, keepdim=True)
    return t.mul(graph, result, t.sub(graph, g, along))


def _log_softmax(graph: Graph, g: Traced, result: Traced, dim: int, dtype: Any) -> Traced:
    """g - e^f Σ g."""
    return t.sub(graph, g, t.mul(graph, t.exp(graph, result), total(graph, g, dim, keepdim=True)))


BACKWARD: dict[Any, Handler] = {
    aten.threshold_backward: _threshold,
    aten.tanh_backward: _tanh,
    aten.sigmoid_backward: _sigmoid,
    aten.leaky_relu_backward: _leaky_relu,
    aten._prelu_kernel_backward: _prelu,
    aten.elu_backward: _elu,
    aten.gelu_backward: _gelu,
    aten.silu_backward: _silu,
    aten.mish_backward: _mish,
    aten.softplus_backward: _softplus,
    aten.log_sigmoid_backward: _log_sigmoid,
    aten.hardtanh_backward: _hardtanh,
    aten.hardsigmoid_backward: _hardsigmoid,
    aten.hardswish_backward: _hardswish,
    aten.hardshrink_backward: _shrink,
    aten.softshrink_backward: _shrink,
    aten._softmax_backward_data: _softmax,
    aten._log_softmax_backward_data: _log_softmax,
}
