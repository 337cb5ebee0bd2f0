"""Fields that descend a convex energy: any two solutions approach each other."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.layers.affine import Draw
from ctrlnet.layers.energies import NetworkEnergy
from ctrlnet.systems import Energy
from ctrlnet.types import State


@final
class GradientFlow(nn.Module, Energy):
    """x' = -∇V(x) = -Aᵀ σ(A x + b),  V(x) = Σ γ(A x + b), convex.

    With 0 <= σ' <= 1 the one-sided Lipschitz constant ν lies in [-μ², 0], μ the least singular value of A, so that
    |x(t) - y(t)| <= |x(0) - y(0)| for any two solutions; ν <= -a μ² where σ' >= a. Explicit Euler keeps that for
    steps up to `longest_step`, implicit_midpoint for all. The method avf lets V fall by |x⁺ - x|²/h in every step.

    Args:
        n: states.
        width: rows of A; n when None. Below n some directions stand still.
        activation: σ, "tanh", "sigmoid", "relu" or "leaky_relu" (there a = 0.01).
        seed: as `mlp`.
        dtype: of the parameters.

    Raises:
        UsageError: a size below one, no such activation.

    Source: Celledoni, Ehrhardt, Etmann, McLachlan, Owren, Schönlieb and Sherry, Structure-preserving deep learning,
    2021.
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
        A, b = Draw(seed, dtype).affine(n if width is None else width, n, activation)
        self.potential: NetworkEnergy = NetworkEnergy(A, b, activation=activation)
        self.register_buffer("structure", -torch.eye(n, dtype=dtype), persistent=False)

    @property
    def longest_step(self) -> Tensor:
        """2/|A|² [s], the longest step with which explicit Euler brings no two states further apart."""
        A: Tensor = self.potential.A
        step: Tensor = 2 / torch.linalg.matrix_norm(A, 2).square()
        return step

    def forward(self, x: State) -> State:
        """x' (..., n) at states (..., n)."""
        return self.rate(0.0, x)
