"""Energies made of one layer of a network."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.errors import ShapeError
from ctrlnet.layers.activations import activation_named
from ctrlnet.types import State, Value


@final
class NetworkEnergy(nn.Module):
    """H(x) = Σ_i c_i γ(a_i·x + b_i),  γ' = σ convex, with its gradient and its mean gradient in closed form.

    σ and γ: "tanh" and log cosh; "sigmoid" and log(1 + e^w); "relu" and max(w, 0)²/2; "leaky_relu" (slope 0.01 below
    zero) and the same with 0.01 w²/2 below zero. H is convex where c >= 0.

    Args:
        A: rows a_i, (k, n). A, b and c are trainable and start as copies.
        b: (k,); zeros when None.
        c: (k,); None fixes c_i = 1.
        activation: σ.

    Raises:
        ShapeError: A, b and c do not fit.
        UsageError: no such activation.

    Source: Celledoni, Ehrhardt, Etmann, McLachlan, Owren, Schönlieb and Sherry, Structure-preserving deep learning,
    2021; the mean gradient is that of McLachlan, Quispel and Robidoux, Geometric integration using discrete
    gradients, 1999, whose integral is γ's difference quotient here.
    """

    c: Tensor | None

    def __init__(self, A: Tensor, b: Tensor | None = None, c: Tensor | None = None, activation: str = "tanh") -> None:
        super().__init__()
        _check(A, b, c)
        self.activation = activation_named(activation)
        self.A = nn.Parameter(A.detach().clone())
        self.b = nn.Parameter(A.new_zeros(A.shape[0]) if b is None else b.detach().clone())
        self.register_parameter("c", None if c is None else nn.Parameter(c.detach().clone()))

    def forward(self, x: State) -> Value:
        """H at states (..., n), shape (...)."""
        return self._weighted(self.activation.energy(self._inner(x))).sum(-1)

    def gradient(self, x: State) -> State:
        """∇H(x) = Aᵀ (c σ(A x + b)), (..., n)."""
        return self._weighted(self.activation.slope(self._inner(x))) @ self.A

    def mean_gradient(self, x: State, end: State) -> State:
        """∫₀¹ ∇H((1-s) x + s end) ds, (..., n): its product with end - x is H(end) - H(x), to rounding."""
        return self._weighted(self.activation.mean(self._inner(x), self._inner(end))) @ self.A

    def _inner(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.A, self.b)

    def _weighted(self, values: Tensor) -> Tensor:
        return values if self.c is None else self.c * values


def _check(A: Tensor, b: Tensor | None, c: Tensor | None) -> None:
    if A.ndim != 2 or not A.is_floating_point():
        raise ShapeError(f"A has shape {tuple(A.shape)} and {A.dtype}; give floating-point rows a_i, shape (k, n).")
    for name, vector in (("b", b), ("c", c)):
        if vector is not None and (vector.shape != A.shape[:1] or vector.dtype != A.dtype):
            raise ShapeError(
                f"{name} has shape {tuple(vector.shape)} and {vector.dtype}; A asks for ({A.shape[0]},) and {A.dtype}."
            )


def canonical(n: int, dtype: torch.dtype) -> Tensor:
    """J = [[0, I], [-I, 0]], (n, n), n even."""
    identity, zero = torch.eye(n // 2, dtype=dtype), torch.zeros(n // 2, n // 2, dtype=dtype)
    return torch.cat([torch.cat([zero, identity], 1), torch.cat([-identity, zero], 1)])
