"""What every candidate starts from: a root of P and the equilibrium."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets import vector


def root(shape: int | Tensor) -> Tensor:
    """R with RᵀR = P, the transposed Cholesky factor, float64 (n, n); the identity for a number n.

    Raises:
        ShapeError: P is not square.
        UsageError: P is not symmetric and positive definite, or n is below 1.
    """
    if isinstance(shape, int):
        if shape < 1:
            raise UsageError(f"shape is {shape}; give the size of the state, 1 or more, or a matrix P.")
        return torch.eye(shape, dtype=torch.float64)
    P = shape.detach().to(torch.float64)
    if P.ndim != 2 or P.shape[0] != P.shape[1]:
        raise ShapeError(f"P has shape {tuple(P.shape)}; it must be square.")
    factor, failed = torch.linalg.cholesky_ex(P)
    if int(failed) or not torch.allclose(P, P.T, rtol=1e-9, atol=0.0):
        raise UsageError(f"P = {P.tolist()} is not symmetric and positive definite, so V would not be positive.")
    R: Tensor = factor.T.contiguous()
    return R


def equilibrium(at: Sequence[object] | Tensor | None, n: int) -> Tensor:
    """x* as float64 (n,); the origin for None."""
    return torch.zeros(n, dtype=torch.float64) if at is None else vector(at, "at", n)
