"""Automatic gradient descent in the operator norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.agd import AGD
from ctrlnet_plugins.optimizers.ascent import Ascent, numbers
from ctrlnet_plugins.optimizers.blocks import like, matrices, wide
from ctrlnet_plugins.optimizers.options import require_among
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.polar import msign


class AGDSpectral(AGD):
    """Automatic gradient descent without the assumption that gradients have rank one,

        W_k ← W_k − γ (η/L) s_k msign(g_k),    G = (1/L) Σ_k s_k ‖g_k‖_*,    η = log((1 + √(1 + 4G)) / 2),

    where msign(U Σ Vᵀ) = U Vᵀ and ‖g‖_* = tr Σ = ⟨g, msign g⟩ is the nuclear norm, dual to the operator norm.

    Derivation. With ‖ΔW_k‖_2 = s_k η/L, the square loss (1/2 d_L)‖f − y‖² of a network as `AGD` describes it obeys

        loss(W + ΔW) ≤ loss(W) + Σ_k ⟨g_k, ΔW_k⟩ + (1/2)(e^η − 1)².

    The first-order term is least for ΔW_k = −(s_k η/L) msign(g_k), where it is −η G; then (e^η − 1) e^η = G gives η.
    The published rule takes a gradient's stable rank (‖g‖_F / ‖g‖_2)² to be one, so that g/‖g‖_F stands for msign(g)
    and ‖g‖_F for ‖g‖_*; where it is larger, that step is too short in most directions. Gradients of rank one give the
    same step.

    Against its kin: Muon takes msign of a momentum, Scion steps in operator norms with a momentum and, constrained, a
    radius, modular duality divides such steps among the layers by a tree of norms; all three leave the size of the step
    to a learning rate and a schedule. Here the direction is theirs without momentum, and the size is not chosen: it
    minimises the majorisation above, from the nuclear norms of all layers and their number. There is no state and no
    option that has to be tuned.

    The factor is exact by decomposition for small matrices on a CPU, and by Newton and Schulz's iteration, in the
    weights' dtype and at least in single precision, for large ones and on CUDA. A step costs several times one of
    `AGD`.

    Args:
        params, lr, bias, depth, bias_lr, maximize, foreach, on_nonfinite: as in `AGD`.
        polar: "svd", "iteration", or "auto" as above.

    Source: majorisation and η: Bernstein et al., Automatic Gradient Descent, arXiv 2304.05187, sections 3 and 4; the
    direction: Jordan et al., Muon, 2024; Pethick et al., Training Deep Learning Models with Norm-Constrained LMOs
    (Scion), arXiv 2502.07529; Bernstein and Newhouse, Modular Duality in Deep Learning, arXiv
    2410.21265.
    """

    ctrlnet_contract = 1
    _own: ClassVar[tuple[str, ...]] = (*AGD._own, "_polar")

    def __init__(self, params: Iterable[Any], lr: float = 1.0, *, polar: str = "auto", **options: Any) -> None:
        require_among("polar", polar, ("auto", "svd", "iteration"))
        self._polar = polar
        super().__init__(params, lr, **options)

    def _is_plain(self, part: Part) -> bool:
        return False

    def ascent(self, part: Part, measures: list[Tensor]) -> Ascent:
        """msign(g), 1, and ⟨g, msign(g)⟩."""
        directions = [self._sign(gradient, square) for gradient, square in zip(part.gradients, measures, strict=True)]
        products = [(g.to(wide(g)) * d).sum() for g, d in zip(part.gradients, directions, strict=True)]
        return Ascent(directions, [1.0] * len(directions), numbers(part, products))

    def _sign(self, gradient: Tensor, square: Tensor) -> Tensor:
        """msign(g), of a vector g / ‖g‖."""
        if gradient.ndim < 2:
            return gradient / square.sqrt().clamp_min(torch.finfo(square.dtype).tiny).to(gradient.dtype)
        return like(msign(matrices(gradient), self._polar), gradient)
