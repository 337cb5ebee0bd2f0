"""Fields with an antisymmetric matrix: signals neither grow nor fade."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.layers.activations import activation_named
from ctrlnet.layers.affine import Draw
from ctrlnet.layers.energies import NetworkEnergy
from ctrlnet.layers.perceptron import mlp
from ctrlnet.systems import Energy
from ctrlnet.types import State


@final
class Antisymmetric(nn.Module):
    """x' = σ((K - Kᵀ - g I) x + b).

    With g = 0 and σ' > 0 the Jacobian diag(σ')(K - Kᵀ) has a purely imaginary spectrum. That is a statement about one
    instant: weights that vary in time, or a far state, can make solutions grow. Explicit Euler makes them grow; take
    ab3, rk4 or implicit_midpoint, or g > 0.

    Args:
        n: states.
        damping: g [1/s].
        activation: σ, "tanh", "sigmoid", "relu" or "leaky_relu".
        seed: as `mlp`.
        dtype: of the parameters.

    Source: Haber and Ruthotto, Stable architectures for deep neural networks, 2017; Chang, Chen, Haber and Chi,
    AntisymmetricRNN, 2019.
    """

    def __init__(
        self,
        n: int,
        *,
        damping: float = 0.0,
        activation: str = "tanh",
        seed: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.activation = activation_named(activation)
        self.damping = damping
        K, b = Draw(seed, dtype).affine(n, n, activation)
        self.K, self.b = nn.Parameter(K), nn.Parameter(b)

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        inner = nn.functional.linear(x, self.K - self.K.T, self.b) - self.damping * x
        return self.activation.slope(inner)


@final
class SkewGradient(nn.Module, Energy):
    """x' = (K - Kᵀ) σ(x), which conserves H(x) = Σ γ(x_i), γ' = σ; the method avf conserves it too.

    Unlike that of `Antisymmetric` this is a statement about whole solutions, as long as the weights do not vary.
    Arguments as there.
    """

    def __init__(
        self, n: int, *, activation: str = "tanh", seed: int | None = None, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        K, _ = Draw(seed, dtype).affine(n, n, activation)
        self.K = nn.Parameter(K)
        self.potential = NetworkEnergy(torch.eye(n, dtype=dtype), activation=activation).requires_grad_(False)

    @property
    def structure(self) -> Tensor:  # type: ignore[override]
        """K - Kᵀ, (n, n)."""
        return self.K - self.K.T

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        return self.rate(0.0, x)


@final
class NormPreserving(nn.Module):
    """x' = (K(x) - K(x)ᵀ) x, which conserves |x|; K(x) is a network with one hidden layer, n to n².

    Args:
        n: states.
        width: of the hidden layer.
        seed: as `mlp`.
        dtype: of the parameters.
    """

    def __init__(self, n: int, width: int, *, seed: int | None = None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.network = mlp((n, width, n * n), seed=seed, dtype=dtype)

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        K = self.network(x).unflatten(-1, (x.shape[-1], -1))
        rate: Tensor = ((K - K.mT) @ x.unsqueeze(-1)).squeeze(-1)
        return rate
