"""Muon for a whole module: matrices by Muon, everything else by AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.routed import Routed


class Muon(Routed):
    """Momentum orthogonalised by Newton and Schulz,  B ← μB + (1 − μ)g,  W ← (1 − lr·λ)W − lr·c·msign(g̃).

    msign(U Σ Vᵀ) = U Vᵀ; g̃ is B, or with Nesterov's look-ahead (1 − μ)g + μB; c = 0.2 √max(d_out, d_in) gives the
    update the root mean square of an AdamW update, so that one `lr` serves both parts. Parameters with two axes go to
    `torch.optim.Muon`, the rest (biases, gains, convolutions) to `torch.optim.AdamW` with the same `lr`.

    torch iterates Newton and Schulz in bfloat16 whatever the dtype of the weights, so the direction has two to three
    digits and singular values of about 0.7 to 1.2; weights, momentum and the sum keep their own dtype.

    Args:
        params: tensors.
        lr: learning rate, of matrices and of the rest.
        momentum: μ of the matrices.
        nesterov: look ahead.
        weight_decay: λ, decoupled, of matrices and of the rest.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; the factor c: Liu et al.,
    Muon is scalable for LLM training, 2025, eq. 4.
    """

    ctrlnet_contract = 1

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.01,
    ) -> None:
        tensors = list(params)
        if any(not isinstance(tensor, Tensor) for tensor in tensors):
            raise UsageError("Muon takes tensors, not parameter groups: it makes its own two, by the number of axes.")
        matrices = [tensor for tensor in tensors if tensor.ndim == 2]
        others = [tensor for tensor in tensors if tensor.ndim != 2]
        shared: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            options: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "adjust_lr_fn": "match_rms_adamw"}
            parts.append(torch.optim.Muon(matrices, **shared, **options))
        if others:
            parts.append(torch.optim.AdamW(others, **shared))
        super().__init__(parts)

    @classmethod
    def for_module(cls, module: nn.Module, **options: Any) -> Self:
        """Muon over the trainable parameters of a module."""
        return cls((parameter for parameter in module.parameters() if parameter.requires_grad), **options)
