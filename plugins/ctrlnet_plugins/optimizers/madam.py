"""Madam: multiplicative steps, so that the relative change of every weight is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import log
from typing import Any

import torch
from torch import Tensor

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.options import require_fraction, require_positive
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import count_steps, least_root
from ctrlnet_plugins.optimizers.rule import Rule

_CHUNK = 1 << 18  # entries: few enough to stay in a processor's cache, and so many that few operations are called
_flip = torch.ops.aten.leaky_relu_backward.grad_input  # of (x, w, −1): x where w > 0, else −x; sign and mul_ in one
_NATS = 1 / log(2)  # e^x = 2^(x·_NATS): torch's exp2 takes a third of the time of its exp


class Madam(Rule):
    """Multiplicative Adam,  w ← clip(w · exp(−lr·sign(w)·u), ±w_max),  with  u = clip(g/(√v̂ + ε), ±g_bound).

    v ← β v + (1 − β) g², v̂ = v/(1 − βᵗ), and w_max = p_scale · rms of the tensor before its first step. A step changes
    a weight by the factor exp(±lr) as a rule and exp(±g_bound·lr) at most.

    No weight ever changes its sign, and zero stays zero. A tensor that is zero throughout is therefore refused: draw
    it from a narrow normal distribution, as the authors do with biases (0.01), or give it to another optimizer.

    ε = 1e-19 (in float64 1e-154) makes u zero, not NaN, where no gradient has ever been. The scale of the loss does not
    matter as long as gradients are 1e-16 to 1e18 in size (in float64 1e-150 to 1e153): five steps then are the same to
    1 %. Below that v underflows and steps become shorter, down to none; above it the norm overflows.

    Rounding in float32 changes a weight by less than 3e-7 of itself a step, besides what the formula asks.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: relative change of a weight in a typical step; 0.01 is the authors' choice for every task.
        p_scale: w_max over the first root mean square; the authors use 1 to 3. Larger weights are clipped at once.
        g_bound: largest u.
        beta: β.
        maximize, foreach, on_nonfinite: as in `Rule`.

    State: a number a weight, and two a tensor. On a CPU also room for two intermediate results of 262144
    weights.

    Source: Bernstein, Zhao, Meister, Liu, Anandkumar and Yue, Learning compositional functions via multiplicative
    weight updates, NeurIPS 2020, Algorithm 1.
    """

    claims = frozenset({"loss scale", "relative update", "sign"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        p_scale: float = 3.0,
        g_bound: float = 10.0,
        beta: float = 0.999,
        **shared: Any,
    ) -> None:
        self._room: dict[Any, Any] = {}
        super().__init__(params, {"lr": lr, "p_scale": p_scale, "g_bound": g_bound, "beta": beta}, **shared)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_room": {}})

    def check(self, group: dict[str, Any]) -> None:
        require_positive("p_scale", group["p_scale"])
        require_positive("g_bound", group["g_bound"])
        require_fraction("beta", group["beta"])
        self.require_precise(group)

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        return {
            "step": torch.zeros((), dtype=torch.float32, device=weight.device),
            "moment": torch.zeros_like(weight, memory_format=torch.contiguous_format),
            "bound": largest(self, group, weight),
        }

    def move(self, part: Part, measures: list[Any]) -> None:
        if part.group["lr"] == 0:
            return
        count_steps([self.state[weight] for weight in part.weights])
        (self._move_list if part.foreach else self._move_each)(part)

    def _move_each(self, part: Part) -> None:
        """In pieces that stay in the cache from the first operation to the last."""
        options = _fused(part, _NATS)
        widest = abs(options["lr"]) * part.group["g_bound"]
        for weight, gradient in zip(part.weights, part.gradients, strict=True):
            state, eps = self.state[weight], least_root(weight.dtype)
            limit, steps = state["bound"].item(), [state["step"]]
            pieces = _pieces(weight, gradient, state["moment"])
            for (w, g, v), (x, s) in zip(pieces, self._room.get(weight) or self._make_room(weight), strict=True):
                torch._fused_adamw_([x.zero_()], [g], [s], [v], [], steps, eps=eps, **options)
                _flip(x.clamp_(-widest, widest), w, -1.0, False, grad_input=x).exp2_()
                w.mul_(x).clamp_(-limit, limit)

    def _make_room(self, weight: Tensor) -> list[tuple[Tensor, ...]]:
        """For each piece of a weight, where to put two intermediate results."""
        size = min(_CHUNK, weight.numel())
        vectors = self._room.get(weight.dtype)
        if vectors is None or vectors.shape[1] < size:
            vectors = self._room[weight.dtype] = weight.new_zeros(2, size)
        shape = weight.shape if weight.numel() <= _CHUNK else (-1,)
        lengths = [min(_CHUNK, weight.numel() - start) for start in range(0, weight.numel(), _CHUNK)]
        pieces = [tuple(vector[:length].view(shape) for vector in vectors) for length in lengths]
        self._room[weight] = pieces
        return pieces

    def _move_list(self, part: Part) -> None:
        options = {**_fused(part), "eps": max(least_root(weight.dtype) for weight in part.weights)}
        widest = abs(options["lr"]) * part.group["g_bound"]
        states = [self.state[weight] for weight in part.weights]
        moments, steps = ([state[key] for state in states] for key in ("moment", "step"))
        changes = [torch.zeros_like(moment) for moment in moments]
        gradients = [gradient.contiguous() for gradient in part.gradients]
        torch._fused_adamw_(changes, gradients, [g.clone() for g in gradients], moments, [], steps, **options)
        torch._foreach_clamp_max_(changes, widest)
        torch._foreach_clamp_min_(changes, -widest)
        torch._foreach_mul_(changes, torch._foreach_sign(part.weights))
        torch._foreach_mul_(part.weights, torch._foreach_exp(changes))
        for weight, state in zip(part.weights, states, strict=True):
            weight.clamp_(-state["bound"], state["bound"])


def _fused(part: Part, unit: float = 1.0) -> dict[str, Any]:
    """Options but ε with which torch's fused AdamW, on weights of zero, makes of them ∓lr·unit·g/(√v̂ + ε); v moves."""
    rate = -part.sign * float(part.group["lr"]) * unit
    settings = {"lr": rate, "beta1": 0.0, "beta2": part.group["beta"], "weight_decay": 0.0}
    return {**settings, "amsgrad": False, "maximize": False}


def largest(rule: Rule, group: dict[str, Any], weight: Tensor) -> Tensor:
    """w_max, a number.

    Raises:
        UsageError: the tensor is zero throughout, so that no multiplication can change it.
    """
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    bound: Tensor = wide.square().mean().sqrt() * group["p_scale"]
    if weight.numel() and not bool(bound > 0):
        raise UsageError(
            f"{type(rule).__name__} multiplies weights, and {rule.name(group, weight)} is zero throughout: it could "
            "never move. Draw it first, as with torch.nn.init.normal_(bias, std=0.01), or keep it from this optimizer "
            "with requires_grad_(False)."
        )
    return bound


def _pieces(weight: Tensor, gradient: Tensor, moment: Tensor) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """The entries of three tensors of one shape: all at once if they are few, else chunk by chunk, flat."""
    if weight.numel() <= _CHUNK:
        return ((weight, gradient.contiguous(), moment),)
    return _chunks(weight, gradient.reshape(-1), moment.view(-1))


def _chunks(weight: Tensor, gradient: Tensor, moment: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    flat = weight.contiguous().view(-1)
    yield from zip(flat.split(_CHUNK), gradient.split(_CHUNK), moment.split(_CHUNK), strict=True)
    if not weight.is_contiguous():
        weight.copy_(flat.view_as(weight))
