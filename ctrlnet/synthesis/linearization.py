"""Linearisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError


def linearize(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The Jacobian ∂F/∂x at one point, (k, n), by automatic differentiation.

    Of a plant at (x*, u*):  A = linearize(lambda x: plant(x, u), x),  B = linearize(lambda u: plant(x, u), u).

    Args:
        function: maps (n,) to (k,).
        x: one point, (n,), floating point.

    Raises:
        ShapeError: x is no vector, or the result is none.
    """
    if x.ndim != 1 or not x.is_floating_point():
        raise ShapeError(f"x has shape {tuple(x.shape)} and {x.dtype}; give one floating-point state of shape (n,).")
    jacobian: Tensor = torch.func.jacrev(function)(x)
    if jacobian.ndim != 2:
        raise ShapeError(f"The function maps ({x.numel()},) to {tuple(jacobian.shape[:-1])}; it must give (k,).")
    return jacobian.detach()
