"""Neural candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from ctrlnet.candidates.shape import equilibrium, root
from ctrlnet.layers import at_precision, binary_scale, shape_of_network, wider
from ctrlnet.sets import check_states
from ctrlnet.types import State, Value


@final
class NeuralCandidate(nn.Module):
    """V(x) = |R (x - x*)|² + |φ(x) - φ(x*)|²  with  φ(x) = network(x / scale).

    V(x*) = 0 and, where R is invertible, V > 0 elsewhere, whatever the weights. φ(x*) is evaluated in every call and
    never cached, so that V(x*) = 0 is an identity of the traced function. A state of another precision than the
    network's is computed with in the wider of the two; V has the precision of the state.

    Args:
        network: maps (..., n) to (..., k), k free.
        shape: n, then R = I; or a positive definite P, (n, n), then RᵀR = P. R is trainable.
        at: equilibrium x*, n numbers; the origin when None.
        scale: n powers of two, typical sizes of the states; None is all ones.

    Raises:
        ShapeError: the network, P, at or scale do not fit.
        UsageError: P is not positive definite, a scale is no power of two (NonFinite: NaN in the weights).

    Source: after Gaby, Zhang and Ye, Lyapunov-Net, 2022: V(x) = |φ(x) - φ(0)| + α|x|; squared here to be smooth at x*.
    """

    at: Tensor
    reciprocal_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: int | Tensor,
        at: Sequence[object] | Tensor | None = None,
        scale: Sequence[object] | Tensor | None = None,
    ) -> None:
        super().__init__()
        R = root(shape)
        like = shape_of_network(network, R.shape[0])
        self.network = network
        self.R = nn.Parameter(R.to(like))
        self.register_buffer("at", equilibrium(at, R.shape[0]).to(like))
        self.register_buffer("reciprocal_scale", binary_scale(scale, R.shape[0]).to(like))

    def forward(self, x: State) -> Value:
        """V at states (..., n), shape (...)."""
        check_states(x, self.at.numel())
        dtype = wider(x.dtype, self.at.dtype)
        wide, at, scale = x.to(dtype), self.at.to(dtype), self.reciprocal_scale.to(dtype)
        network = at_precision(self.network, dtype)
        quadratic = nn.functional.linear(wide - at, self.R.to(dtype)).square().sum(-1)
        features = network(wide * scale) - network(at * scale)
        return (quadratic + features.square().sum(-1)).to(x.dtype)
