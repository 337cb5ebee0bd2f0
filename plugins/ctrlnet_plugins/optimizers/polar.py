"""The matrix sign, or polar factor,  msign(U Σ Vᵀ) = U Vᵀ  over the singular values that are not zero."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

_STABLE = 1.69770248526  # where (3/2)ρ − (1/2)ρ³ = 1/10
_SMALL = 512  # up to this many rows or columns a decomposition on a CPU is faster than the iteration


def msign(matrix: Tensor, method: str = "auto") -> Tensor:
    """The polar factor of matrices (..., m, n), of the same shape and dtype.

    Args:
        matrix: any m, n; not finite gives not finite by the iteration, an error by the decomposition.
        method: "svd", "iteration", or "auto": the decomposition for small matrices on a CPU, else the iteration.
    """
    if method == "auto":
        method = "svd" if matrix.device.type == "cpu" and min(matrix.shape[-2:]) <= _SMALL else "iteration"
    return by_decomposition(matrix) if method == "svd" else by_iteration(matrix)


def by_decomposition(matrix: Tensor) -> Tensor:
    """U Vᵀ over the singular values above the rounding of the largest; in at least single precision."""
    wide = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    u, values, vh = torch.linalg.svd(wide, full_matrices=False)
    least = values[..., :1] * (max(matrix.shape[-2:]) * torch.finfo(values.dtype).eps)
    kept = (values > least).to(values.dtype)
    sign: Tensor = (u * kept.unsqueeze(-2)) @ vh
    return sign.to(matrix.dtype)


def by_iteration(matrix: Tensor, least: float | None = None) -> Tensor:
    """Newton and Schulz's iteration with the best scaling,  X ← (3/2) ρ X − (1/2) ρ³ X Xᵀ X.

    From X = A / ‖A‖_F, all singular values are in [0, 1]. With ℓ a bound below on those that matter,
    ρ² = 3 / (1 + ℓ + ℓ²) makes the cubic map [ℓ, 1] into [ℓ', 1], ℓ' = (3/2) ρ ℓ − (1/2) ρ³ ℓ³, with ℓ' the largest
    possible: small values grow by 2.5 a step instead of 1.5, and convergence is quadratic once ℓ is near 1. ρ stays a
    little below √3, at which the largest singular value would go to zero and its direction be lost in rounding; so it
    never goes below 1/10. Singular values below ℓ ‖A‖_F come out between 0 and 1. Two matrix products a step, in the
    dtype of the matrix, in single precision at least; the number of steps depends on ℓ alone, so nothing is read back
    from a device.

    Args:
        matrix: (..., m, n).
        least: ℓ; by default 1e-4 in single and 1e-8 in double precision.

    Source: Chen and Chow, A stable scaling of Newton-Schulz for improving the sign function computation of a Hermitian
    matrix, Argonne National Laboratory ANL/MCS-P5059-0114, 2014.
    """
    wide = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    x = wide.mT if matrix.shape[-2] > matrix.shape[-1] else wide  # the smaller Gram matrix
    tiny = torch.finfo(wide.dtype).tiny
    largest = x.abs().amax((-2, -1), keepdim=True).clamp_min(tiny)  # so that squares neither over- nor underflow
    x = x / largest
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(tiny)
    for rho in _scalings(least or (1e-8 if wide.dtype == torch.float64 else 1e-4)):
        x = 1.5 * rho * x - (0.5 * rho**3) * (x @ x.mT) @ x
    sign: Tensor = x.mT if matrix.shape[-2] > matrix.shape[-1] else x
    return sign.to(matrix.dtype)


def _scalings(least: float) -> list[float]:
    """ρ of each step, until the smallest singular value, once `least`, is 1 to rounding after one step more."""
    scalings = []
    while least < 1 - 1e-8:
        rho = min(_STABLE, sqrt(3 / (1 + least + least**2)))
        scalings.append(rho)
        least = min(1.5 * rho * value - 0.5 * rho**3 * value**3 for value in (least, 1.0))
    return [*scalings, 1.0]
