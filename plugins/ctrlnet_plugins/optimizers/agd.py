"""Automatic gradient descent: a step size from the architecture, none from the user."""

from __future__ import annotations

from math import log1p, sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.layered import Layered


class AGD(Layered):
    """Automatic gradient descent,  W_k ← W_k − γ (η/L) s_k g_k / ‖g_k‖_F,  where

        s_k = √(d_k / d_{k−1}),    G = (1/L) Σ_k s_k ‖g_k‖_F,    η = log((1 + √(1 + 4G)) / 2).

    W_k has shape (d_k, d_{k−1}), L is the number of weight tensors, and the gain γ is the group's `lr`, 1 by default. A
    convolution is a matrix for each place of its kernel: a norm for each, s_k divided by the root of their number, and
    G sums over them. The rule majorises the square loss (1/2 d_L)‖f − y‖² (of mean((f − y)²), as in the authors'
    code, G is twice as large) of a network without biases whose weights `init_weights_` has drawn, whose activations
    keep the size of a signal, for inputs of norm √d_0 and targets of norm √d_L; elsewhere it is a heuristic, and
    `check_model` says where. The majorisation takes ‖g_k‖_2 for ‖g_k‖_F; `agd_spectral` does without that.

    η grows with G, so gradients must be unscaled after mixed precision and averaged, not summed, when they are
    accumulated; clipping changes η. In training the norms of the weights drift above s_k (`spectral_norms`). Tied
    weights count once. No state is kept for a weight.

    A zero gradient moves nothing, a missing one (None) counts as zero. NaN or infinity in one gradient would reach
    every tensor through G, so such a step is skipped whole (and counted in `skipped`) or raises.

    Biases are not in the paper: see `bias`. As a block, a vector takes a share like a matrix.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: γ, the gain.
        bias: "error", "block", "frozen" or "adamw", for tensors of fewer than two axes; see `Layered`.
        depth: L: "tensors", the number of tensors with two axes or more, as published; "layers"; or a number.
        bias_lr: learning rate of biases with bias="adamw".
        maximize: ascend instead.
        foreach: operations on lists of tensors; None: on CUDA only.
        on_nonfinite: "skip" or "raise" (NonFinite).

    Attributes:
        last_eta, last_G: η and G of the last step, None before it.
        last_relative_updates, spectral_norms: how far each tensor moved, and how large it is, by name.
        skipped: steps not taken because of a gradient that is not finite.

    Source: Bernstein, Mingard, Huang, Azizan and Yue, Automatic Gradient Descent: Deep Learning without
    Hyperparameters, arXiv 2304.05187, Algorithm 1.
    """

    ctrlnet_contract = 1
    claims = frozenset({"rotation"})
    _own: ClassVar[tuple[str, ...]] = (*Layered._own, "_eta", "_G")
    _eta: Any = None
    _G: Any = None

    def automatic(self, summary: Any) -> Any:
        """log((1 + √(1 + 4G)) / 2), written so that a small G loses no digits."""
        if isinstance(summary, Tensor):
            eta: Any = torch.log1p(2 * summary / (1 + torch.sqrt(1 + 4 * summary)))
        else:
            eta = log1p(2 * summary / (1 + sqrt(1 + 4 * summary)))
        self._eta, self._G = eta, summary
        return eta

    @property
    def last_eta(self) -> float | None:
        """η of the last step."""
        return None if self._eta is None else float(self._eta)

    @property
    def last_G(self) -> float | None:
        """G of the last step."""
        return None if self._G is None else float(self._G)

    eta, gradient_summary, initialize = last_eta, last_G, Layered.init_weights_  # the names of the first version
