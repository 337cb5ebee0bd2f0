"""Quadratic candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.candidates.shape import equilibrium, root
from ctrlnet.layers import wider
from ctrlnet.sets import check_states
from ctrlnet.types import State, Value


@final
class Quadratic(nn.Module):
    """V(x) = |R (x - x*)|²,  positive definite when the trainable R, (n, n), is invertible.

    Args:
        shape: n, then R = I; or a positive definite P, (n, n), then RᵀR = P.
        at: equilibrium x*, n numbers; the origin when None.
        dtype: of the parameters.

    Raises:
        ShapeError: P is not square, or at does not fit.
        UsageError: P is not symmetric and positive definite.
    """

    at: Tensor

    def __init__(
        self, shape: int | Tensor, at: Sequence[object] | Tensor | None = None, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        self.R = nn.Parameter(root(shape).to(dtype))
        self.register_buffer("at", equilibrium(at, self.R.shape[0]).to(dtype))

    @property
    def P(self) -> Tensor:
        """RᵀR, so that V(x) = (x - x*)ᵀ P (x - x*); (n, n), detached."""
        R = self.R.detach()
        return R.T @ R

    def forward(self, x: State) -> Value:
        """V at states (..., n), shape (...)."""
        check_states(x, self.at.numel())
        dtype = wider(x.dtype, self.at.dtype)
        value = nn.functional.linear(x.to(dtype) - self.at.to(dtype), self.R.to(dtype)).square().sum(-1)
        return value.to(x.dtype)
