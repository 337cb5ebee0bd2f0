"""Entry checks shared by everything that takes a vector of numbers or a batch of states."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TypeAlias

import torch
from torch import Tensor

from ctrlnet.errors import NonFinite, ShapeError, UsageError

Number: TypeAlias = float | int | Fraction  # a number given by the user; run-time type checks keep int from float


def vector(values: Iterable[object] | Tensor, name: str, size: int | None = None) -> Tensor:
    """The numbers as a float64 vector, shape (n,); anything that `float` accepts is a number.

    Raises:
        UsageError: an entry is no number.
        ShapeError: not one-dimensional, empty, or not of length `size`.
        NonFinite: an entry is NaN or infinite.
    """
    result = _numbers(values, name)
    wanted = "a vector" if size is None else f"a vector of {size} numbers"
    if result.ndim != 1 or result.numel() == 0 or size not in (None, result.numel()):
        raise ShapeError(f"{name} has shape {tuple(result.shape)}; give {wanted}.")
    if not bool(torch.isfinite(result).all()):
        raise NonFinite(f"{name} is {result.tolist()}; every entry must be finite.")
    return result


def _numbers(values: Iterable[object] | Tensor, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().clone().to("cpu", torch.float64)
    try:
        return torch.tensor([float(value) for value in values], dtype=torch.float64)  # type: ignore[arg-type]
    except (TypeError, ValueError) as cause:
        raise UsageError(f"{name} is {values!r}; give a sequence of numbers or a vector tensor.") from cause


def check_states(x: Tensor, n: int, name: str = "x") -> None:
    """Refuse anything but a floating-point tensor of shape (..., n).

    Raises:
        ShapeError: wrong type, last dimension or dtype.
    """
    if not isinstance(x, Tensor):
        raise ShapeError(f"{name} is a {type(x).__name__}; give a torch tensor of shape (..., {n}).")
    if x.ndim == 0 or x.shape[-1] != n:
        raise ShapeError(f"{name} has shape {tuple(x.shape)}; the last dimension must be {n}.")
    if not x.is_floating_point():
        raise ShapeError(f"{name} has dtype {x.dtype}; give floating-point numbers, for example {name}.double().")
