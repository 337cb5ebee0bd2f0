"""Fromage: every tensor turns by the same angle."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, sqrt
from typing import Any

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.options import require_positive
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import squared_norm, squares
from ctrlnet_plugins.optimizers.rule import Rule


class Fromage(Rule):
    """Frobenius matched gradient descent,  W ← (W − lr·(‖W‖/‖g‖)·g) / √(1 + lr²),  for every tensor by itself.

    The step is the fraction `lr` of the tensor's own Frobenius norm, whatever the scale of the loss. Where g is
    orthogonal to W the root keeps ‖W‖ as it was; without it the norm would grow by that factor at every step. A tensor
    or a gradient of norm zero makes the step W ← (W − lr·g)/√(1 + lr²). Biases and convolutions are whole tensors. No
    state is kept for a weight.

    With `p_bound` the norm never exceeds that multiple of what it was at the first step, which regularises; a tensor
    that starts at zero then stays at zero.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: η, the angle [rad] of a step to first order; 0.01 is the authors' choice, 0.001 for fine tuning.
        p_bound: greatest norm of a tensor over its first norm, or None.
        maximize, foreach, on_nonfinite: as in `Rule`.

    Source: Bernstein, Vahdat, Yue and Liu, On the distance between two neural networks and the stability of learning,
    NeurIPS 2020, Algorithm 1.
    """

    claims = frozenset({"loss scale", "relative update", "rotation"})

    def __init__(self, params: Iterable[Any], lr: float = 0.01, *, p_bound: float | None = None, **shared: Any) -> None:
        super().__init__(params, {"lr": lr, "p_bound": p_bound}, **shared)

    def check(self, group: dict[str, Any]) -> None:
        if group["p_bound"] is not None:
            require_positive("p_bound", group["p_bound"])

    def keeps_state(self, group: dict[str, Any]) -> bool:
        return group["p_bound"] is not None

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        return {} if group["p_bound"] is None else {"bound": weight.norm() * group["p_bound"]}

    def move(self, part: Part, measures: list[Any]) -> None:
        lr = float(part.group["lr"])
        if lr == 0:
            return
        (self._move_list if part.foreach else self._move_each)(part, measures, lr)
        if part.group["p_bound"] is not None:
            for weight in part.weights:
                bound = self.state[weight]["bound"]
                weight.mul_(torch.where(bound > 0, bound / torch.maximum(weight.norm(), bound), 0.0))

    def _move_each(self, part: Part, measures: list[Any], lr: float) -> None:
        shrink = 1 / sqrt(1 + lr * lr)
        length = part.sign * shrink * lr
        for weight, gradient, slope in zip(part.weights, part.gradients, measures, strict=True):
            # the norm here, so that the weight is still in the cache when it moves
            ratio = sqrt(squared_norm(weight) / (float(slope) or inf))
            _scale_and_add(weight, shrink, gradient, length * (ratio or 1.0))

    def _move_list(self, part: Part, measures: list[Tensor], lr: float) -> None:
        shrink = 1 / sqrt(1 + lr * lr)
        sizes, slopes = torch.stack(squares(part.weights)), torch.stack(measures)
        ratios = torch.where((sizes > 0) & (slopes > 0), (sizes / slopes).sqrt(), 1.0) * (part.sign * shrink * lr)
        torch._foreach_mul_(part.weights, shrink)
        torch._foreach_add_(part.weights, torch._foreach_mul(part.gradients, list(ratios.unbind())))


def _scale_and_add(weight: Tensor, scale: float, gradient: Tensor, length: float) -> None:
    """weight ← scale·weight + length·gradient, in one pass where torch's fused SGD takes the tensors.

    It computes w − r(g + λw); with r = −length and λ = (1 − scale)/r that is the same, and better rounded.
    """
    if weight.is_cpu and weight.is_contiguous() and gradient.is_contiguous() and weight.dtype == gradient.dtype:
        torch._fused_sgd_(
            [weight], [gradient], [], weight_decay=(scale - 1) / length, momentum=0.0, lr=-length, dampening=0.0,
            nesterov=False, maximize=False, is_first_step=True,
        )  # fmt: skip
    else:
        weight.mul_(scale).add_(gradient, alpha=length)
