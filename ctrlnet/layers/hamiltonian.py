"""Hamiltonian fields made of one or two layers of a network."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.layers.affine import Draw, half
from ctrlnet.layers.energies import NetworkEnergy, canonical
from ctrlnet.systems import Energy, Separable, halves
from ctrlnet.systems.fields import Time
from ctrlnet.types import State, Value


@final
class HamiltonianLayer(nn.Module, Separable):
    """q' = p,  p' = -Aᵀ σ(A q + b),  the state x = (q, p): q'' = -∇V(q) with V(q) = Σ γ(A q + b), convex.

    H = |p|²/2 + V(q). A `Separable` for verlet and symplectic_euler, which keep its structure, and a plain field.

    Args:
        n: states, even: n/2 of q and of p.
        width: rows of A; n/2 when None.
        activation: σ, "tanh", "sigmoid", "relu" or "leaky_relu".
        seed: as `mlp`.
        dtype: of the parameters.

    Raises:
        UsageError: n is odd, a size below one, no such activation.

    Source: Haber and Ruthotto, Stable architectures for deep neural networks, 2017.
    """

    def __init__(
        self,
        n: int,
        width: int | None = None,
        *,
        activation: str = "tanh",
        seed: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        A, b = Draw(seed, dtype).affine(half(n) if width is None else width, half(n), activation)
        self.potential = NetworkEnergy(A, b, activation=activation)

    def velocity(self, t: Time, p: Tensor) -> Tensor:
        """q' = p."""
        return p

    def force(self, t: Time, q: Tensor) -> Tensor:
        """p' = -∇V(q)."""
        return -self.potential.gradient(q)

    def energy(self, x: State) -> Value:
        """H at states (..., n), shape (...)."""
        q, p = halves(x)
        value: Tensor = p.square().sum(-1) / 2 + self.potential(q)
        return value

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        return self.rate(0.0, x)


@final
class TwoLayerHamiltonian(nn.Module, Separable):
    """q' = A₁ᵀ σ(A₁ p + b₁),  p' = -A₂ᵀ σ(A₂ q + b₂),  the state x = (q, p).

    H = Σ γ(A₁ p + b₁) + Σ γ(A₂ q + b₂). With symplectic_euler each layer of a deep network of these is a symplectic
    map, so is their product M, and |M| >= 1: no gradient vanishes at any depth. It can grow. Arguments as for
    `HamiltonianLayer`.

    Source: Chang, Meng, Haber, Ruthotto, Begert and Holtham, Reversible architectures for arbitrarily deep residual
    neural networks, 2018; Galimberti, Furieri, Xu and Ferrari-Trecate, Hamiltonian deep neural networks guaranteeing
    nonvanishing gradients by design, 2023.
    """

    def __init__(
        self,
        n: int,
        width: int | None = None,
        *,
        activation: str = "tanh",
        seed: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        draw, columns = Draw(seed, dtype), half(n)
        rows = columns if width is None else width
        self.kinetic = NetworkEnergy(*draw.affine(rows, columns, activation), activation=activation)
        self.potential = NetworkEnergy(*draw.affine(rows, columns, activation), activation=activation)

    def velocity(self, t: Time, p: Tensor) -> Tensor:
        """q', the gradient of the kinetic energy."""
        return self.kinetic.gradient(p)

    def force(self, t: Time, q: Tensor) -> Tensor:
        """p', minus the gradient of the potential energy."""
        return -self.potential.gradient(q)

    def energy(self, x: State) -> Value:
        """H at states (..., n), shape (...)."""
        q, p = halves(x)
        value: Tensor = self.kinetic(p) + self.potential(q)
        return value

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        return self.rate(0.0, x)


@final
class HamiltonianFlow(nn.Module, Energy):
    """x' = J ∇H(x),  J = [[0, I], [-I, 0]],  with a network energy H that couples q and p.

    H is conserved: to rounding by avf, and nearly, without drift, by implicit_midpoint and gauss4.

    Args:
        energy: H, a `NetworkEnergy` of n states, n even.

    Raises:
        UsageError: n is odd.
    """

    def __init__(self, energy: NetworkEnergy) -> None:
        super().__init__()
        self.potential = energy
        n = 2 * half(energy.A.shape[1])
        self.register_buffer("structure", canonical(n, energy.A.dtype), persistent=False)

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        return self.rate(0.0, x)
