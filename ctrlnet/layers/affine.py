"""Initial weights of the affine maps inside networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ctrlnet.errors import UsageError


class Draw:
    """Draws weights one after the other.

    Args:
        seed: makes them reproducible without touching torch's global generator; None uses that one.
        dtype: of the weights.
    """

    def __init__(self, seed: int | None, dtype: torch.dtype) -> None:
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.dtype = dtype

    def affine(self, rows: int, columns: int, activation: str) -> tuple[Tensor, Tensor]:
        """A (rows, columns), Glorot uniform with the activation's gain, and b (rows,), uniform in ±1/√columns."""
        if rows < 1 or columns < 1:
            raise UsageError(f"A weight matrix of shape ({rows}, {columns}) is asked for; give sizes of 1 or more.")
        A = self.matrix(rows, columns, nn.init.calculate_gain(activation))  # type: ignore[arg-type]
        return A, self.bias(rows, columns)

    def matrix(self, rows: int, columns: int, gain: float) -> Tensor:
        """Glorot uniform, (rows, columns)."""
        return nn.init.xavier_uniform_(torch.empty(rows, columns, dtype=self.dtype), gain, self.generator)

    def bias(self, rows: int, columns: int) -> Tensor:
        """Uniform in ±1/√columns, (rows,)."""
        bound = 1 / math.sqrt(columns)
        return nn.init.uniform_(torch.empty(rows, dtype=self.dtype), -bound, bound, self.generator)


def half(n: int) -> int:
    """n/2, the size of q and of p.

    Raises:
        UsageError: n is odd.
    """
    if n % 2:
        raise UsageError(f"n is {n}; the state (q, p) needs an even number of coordinates, such as {n + 1}.")
    return n // 2
