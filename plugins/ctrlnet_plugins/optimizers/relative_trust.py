"""Gradient descent by relative steps: one η at every width and depth."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from torch import Tensor

from ctrlnet_plugins.optimizers.blocks import rank, scale, squares
from ctrlnet_plugins.optimizers.layered import Layered
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import squared_norm


class RelativeTrust(Layered):
    """Relative steps of a constant size,  W_k ← W_k − (η/L) (‖W_k‖_F / √min(d_k, d_{k−1})) g_k / ‖g_k‖_F.

    η is the group's `lr`. ‖W‖_F / √min(d_k, d_{k−1}) is the root mean square of the singular values of W_k, so every
    layer moves by the same share of its size, and the network as a function by at most e^η − 1 of its own (deep
    relative trust). That share is what transfers from one width or depth to another; the step does not shrink by
    itself, so let a schedule take η to zero. A convolution is a matrix for each place of its kernel.

    A matrix of zeros stays zero. A vector (see `bias`) may start from zero, so its step is η/L times √d whatever its
    size.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: η.
        options: bias, depth, bias_lr, maximize, foreach, on_nonfinite, as in `Layered`.

    Source: Bernstein, Optimisation and Generalisation in Networks of Neurons, PhD thesis, California Institute of
    Technology, arXiv 2210.10101, chapter 6; Bernstein et al., On the distance between two neural networks and the
    stability of learning, NeurIPS 2020.
    """

    ctrlnet_contract = 1
    claims = frozenset({"loss scale", "relative update", "rotation"})

    def __init__(self, params: Iterable[Any], lr: float = 0.1, **options: Any) -> None:
        super().__init__(params, lr, **options)

    def reach(self, part: Part) -> list[Any]:
        """‖W‖_F / √min(d_k, d_{k−1}), of a vector √d."""
        size = _number if part.on_host else _tensor
        return [size(weight) if weight.ndim > 1 else scale(weight.shape) for weight in part.weights]


def _number(weight: Tensor) -> Any:
    return sqrt(squared_norm(weight) / rank(weight.shape)) if weight.ndim == 2 else _tensor(weight)


def _tensor(weight: Tensor) -> Tensor:
    return (squares(weight) / rank(weight.shape)).sqrt()
