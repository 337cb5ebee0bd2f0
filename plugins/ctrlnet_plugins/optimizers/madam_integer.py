"""Madam on logarithmic integers: a weight is a sign and a whole number of small equal factors."""

from __future__ import annotations

from collections.abc import Iterable
from math import log, sqrt
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.madam import largest
from ctrlnet_plugins.optimizers.options import require_fraction, require_positive
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.rule import Rule

_NATS = 1 / log(2)  # e^x = 2^(x·_NATS)


class MadamInteger(Rule):
    """Madam in logarithmic numbers,  |w| = w_max exp(−δ n),  n ← clip(n + round(lr·sign(w)·u/δ), 0, 2^bits − 1).

    u = clip(g/√v̂_i, ±g_bound), where v_i ← β v_i + (1 − β) mean g² over the row of the weight (the weights of one
    neuron; a vector is one row), v̂ = v/(1 − βᵗ), w_max = p_scale · rms of the tensor before its first step, and
    δ = span/2^bits. So 12 bits have steps of δ = 0.001, 8 bits of 0.016.

    At the first step every weight is rounded to such a number: by a factor of exp(±δ/2), from below w_max exp(−span)
    up to that, from above w_max down to it. Zero stays zero. From then on n and the signs are the weights, two bytes
    each, and the tensor that torch computes with is made from them: what else writes to it is lost at the next step.
    A step smaller than half of δ moves nothing: |u| must be δ/(2 lr) at least. The scale of the loss does not matter as
    long as gradients are 1e-16 to 1e18 in size (in float64 1e-150 to 1e153): five steps then are the same to 1 %. Below
    that v underflows and steps become shorter, down to none; above it the norm overflows.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: relative change of a weight in a typical step.
        bits: of n, 2 to 14; the sign is one more. The authors use 12, 10 and 8.
        span: natural logarithm of the largest over the smallest size of a weight.
        p_scale, g_bound: as in `Madam`.
        beta: β.
        maximize, on_nonfinite: as in `Rule`; `foreach` makes no difference.

    State: two bytes a weight, a number a row, two a tensor; `memory()` counts them.

    Source: Bernstein, Zhao, Meister, Liu, Anandkumar and Yue, Learning compositional functions via multiplicative
    weight updates, NeurIPS 2020, section 4; there v is kept for every weight.
    """

    claims = frozenset({"loss scale", "relative update", "sign"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        bits: int = 12,
        span: float = 4.1,
        p_scale: float = 3.0,
        g_bound: float = 10.0,
        beta: float = 0.999,
        **shared: Any,
    ) -> None:
        options = {"bits": bits, "span": span, "p_scale": p_scale, "g_bound": g_bound, "beta": beta}
        super().__init__(params, {"lr": lr, **options}, **shared)

    def check(self, group: dict[str, Any]) -> None:
        if not isinstance(group["bits"], Integral) or group["bits"] not in range(2, 15):
            raise UsageError(f"bits must be a whole number from 2 to 14, got {group['bits']!r}.")
        require_fraction("beta", group["beta"])
        for option in ("span", "p_scale", "g_bound"):
            require_positive(option, group[option])

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        bound, levels = largest(self, group, weight), 1 << group["bits"]
        rows = weight.shape[:1] if weight.ndim > 1 else (1,) * weight.ndim
        places = (torch.log(weight.abs().to(bound) / bound) * (-levels / group["span"])).round_().clamp_(0, levels - 1)
        return {
            "step": torch.zeros((), dtype=torch.float32, device=weight.device),
            "code": ((places + 1) * weight.sign()).to(torch.int16),  # ±(n + 1), and 0 for zero
            "moment": bound.new_zeros((*rows, *(1 for _ in weight.shape[1:]))),
            "bound": bound,
        }

    def memory(self) -> dict[str, int]:
        """Bytes of the state by kind, and of the tensors that torch computes with, which could be made when needed."""
        states = list(self.state.values())
        return {
            "codes": sum(state["code"].nbytes for state in states),
            "moments": sum(state["moment"].nbytes for state in states),
            "scalars": sum(state["step"].nbytes + state["bound"].nbytes for state in states),
            "float view": sum(weight.nbytes for weight in self.state),
        }

    def move(self, part: Part, measures: list[Any]) -> None:
        group, lr = part.group, part.sign * float(part.group["lr"])
        if lr == 0:
            return
        beta, levels = float(group["beta"]), 1 << group["bits"]
        for weight, gradient in zip(part.weights, part.gradients, strict=True):
            state = self.state[weight]
            _mean_square(state, gradient, beta)
            change = gradient * (state["moment"].rsqrt() * _root(state["step"], beta))
            change.clamp_(-group["g_bound"], group["g_bound"]).mul_(-lr * levels / group["span"]).round_()
            code = state["code"]
            sign = code.sign()
            size = change.mul_(sign).add_(code.abs()).clamp_(1, levels).mul_(sign.abs_())
            code.copy_(size.mul_(code.sign()))
            weight.copy_(decoded(code, state["bound"], group))


def decoded(code: Tensor, bound: Tensor, group: dict[str, Any]) -> Tensor:
    """The weights that codes ±(n + 1) stand for,  ±w_max exp(−δ n),  and zero for 0."""
    step = group["span"] / (1 << group["bits"]) * _NATS
    size = code.abs().to(bound.dtype).sub_(1).mul_(-step).exp2_().mul_(bound)
    return size.mul_(code.sign())


def _mean_square(state: dict[str, Any], gradient: Tensor, beta: float) -> None:
    """v ← β v + (1 − β) mean g², not below the smallest normal number."""
    axes = tuple(range(1, gradient.ndim)) or None
    mean = gradient.to(state["moment"].dtype).square().mean(axes, keepdim=True)
    state["moment"].mul_(beta).add_(mean.view_as(state["moment"]), alpha=1 - beta)
    state["moment"].add_(torch.finfo(mean.dtype).tiny)
    state["step"].add_(1)


def _root(step: Tensor, beta: float) -> Any:
    """√(1 − βᵗ), a float on a CPU and elsewhere a tensor, for which nobody waits."""
    return sqrt(1 - beta ** step.item()) if step.is_cpu else (1 - beta**step).sqrt()
