"""The check that a function treats a batch row by row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ctrlnet.errors import CtrlnetError, NonFinite, ShapeError, UsageError

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the largest entry: batched products round differently


def check_rows(function: Callable[[Tensor], Tensor], n: int, tail: tuple[int, ...], name: str) -> None:
    """Check f(X)[i] = f(xᵢ) at random states of [-1, 1]ⁿ: for one state, a batch, and a batch of batches.

    Args:
        function: maps states (..., n) to (..., *tail).
        n: size of a state.
        tail: trailing shape of the result, () for a scalar function.
        name: what the function is called in the error.

    Raises:
        ShapeError: a result of the wrong shape or dtype, or a failure on a batch.
        NonFinite: NaN or infinity among the results.
        UsageError: the rows of a batch are mixed, or the function is random.
    """
    x = torch.rand(6, n, dtype=dtype_of(function), generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = x.to(device_of(function))
    with torch.no_grad():
        rows = torch.stack([_value(function, row, tail, name) for row in x])
        batch = _value(function, x, tail, name)
        nested = _value(function, x.reshape(2, 3, n), tail, name).reshape(batch.shape)
    if not bool(torch.isfinite(rows).all()):
        raise NonFinite(f"{name} gives NaN or infinity at states within [-1, 1]: {rows.tolist()}.")
    allowed = _TOLERANCE[x.dtype] * (1 + rows.abs().max())
    if not (bool(((batch - rows).abs() <= allowed).all()) and bool(((nested - rows).abs() <= allowed).all())):
        raise UsageError(
            f"{name} mixes the rows of a batch, or is random: {name}(X)[i] differs from {name}(X[i]). "
            "Index the state as x[..., i], reduce with dim=-1, and put modules in eval()."
        )


def dtype_of(function: object) -> torch.dtype:
    """The dtype of a module's parameters, float64 for anything else."""
    return _first_parameter(function).dtype


def device_of(function: object) -> torch.device:
    """The device of a module's parameters, the CPU for anything else."""
    return _first_parameter(function).device


def _first_parameter(function: object) -> Tensor:
    default = torch.empty(0, dtype=torch.float64)
    return next(function.parameters(), default) if isinstance(function, nn.Module) else default


def _value(function: Callable[[Tensor], Tensor], x: Tensor, tail: tuple[int, ...], name: str) -> Tensor:
    wanted = (*x.shape[:-1], *tail)
    try:
        y = function(x)
    except CtrlnetError:
        raise
    except (RuntimeError, IndexError, TypeError, ValueError) as cause:
        raise ShapeError(f"{name} fails on states of shape {tuple(x.shape)} and {x.dtype}: {cause}") from cause
    if not isinstance(y, Tensor) or y.shape != wanted:
        given = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise ShapeError(f"{name} maps states of shape {tuple(x.shape)} to {given}; it must give shape {wanted}.")
    if y.dtype != x.dtype:
        raise ShapeError(f"{name} maps {x.dtype} to {y.dtype}; it must keep the dtype of the state.")
    return y
