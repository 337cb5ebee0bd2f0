"""Entry checks of the matrix equations."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.errors import NonFinite, ShapeError, UsageError


def matrix(values: Tensor, name: str, rows: int | None = None, columns: int | None = None) -> Tensor:
    """The matrix as float64, (rows, columns); None leaves a size free.

    Raises:
        ShapeError: another shape.
        NonFinite: an entry is NaN or infinite.
    """
    result = torch.as_tensor(values, dtype=torch.float64).detach()
    if result.ndim != 2 or rows not in (None, result.shape[0]) or columns not in (None, result.shape[1]):
        wanted = tuple("any" if size is None else size for size in (rows, columns))
        raise ShapeError(f"{name} has shape {tuple(result.shape)}; it must have rows and columns {wanted}.")
    if not bool(torch.isfinite(result).all()):
        raise NonFinite(f"{name} holds NaN or infinity.")
    return result


def square(values: Tensor, name: str, n: int | None = None) -> Tensor:
    """The square matrix as float64, (n, n)."""
    result = matrix(values, name, n, n)
    return matrix(result, name, result.shape[1], result.shape[0])


def weight(values: Tensor, name: str, n: int, definite: bool) -> Tensor:
    """The symmetric weight as float64, (n, n): positive definite, or only semidefinite.

    Raises:
        UsageError: not symmetric, or an eigenvalue is too small.
    """
    result = square(values, name, n)
    size = float(result.abs().max())
    if float((result - result.T).abs().max()) > 1e-9 * size:
        raise UsageError(f"{name} = {result.tolist()} is not symmetric; give ({name} + {name}ᵀ)/2 if that is meant.")
    least = float(torch.linalg.eigvalsh(result)[0])
    if (definite and least <= 0) or least < -1e-9 * size:
        raise UsageError(
            f"{name} has the eigenvalue {least:g}; it must be positive {'' if definite else 'semi'}definite."
        )
    return result
