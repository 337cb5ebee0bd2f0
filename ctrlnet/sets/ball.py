"""Euclidean balls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets.vectors import Number, check_states, vector


@final
class Ball:
    """The set {x : |x - center| <= radius}.

    Args:
        center: n finite numbers, kept as float64 (n,).
        radius: positive and finite, in the units of x.
    """

    def __init__(self, center: Sequence[object] | Tensor, radius: Number) -> None:
        self.center = vector(center, "center")
        self.radius = float(radius)
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise UsageError(f"radius is {radius}; it must be positive and finite.")

    @property
    def dimension(self) -> int:
        """Number of axes, n."""
        return self.center.numel()

    @property
    def volume(self) -> float:
        """π^(n/2) rⁿ / Γ(n/2 + 1)."""
        half = self.dimension / 2
        return math.pow(math.pi, half) * math.pow(self.radius, self.dimension) / math.gamma(half + 1)

    def contains(self, x: Tensor) -> Tensor:
        """True for each state that lies in the closed ball; x (..., n), result (...) of bool."""
        check_states(x, self.dimension)
        return (x - self.center.to(x.device)).square().sum(-1) <= self.radius**2

    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """Independent uniform states, (count, n): a uniform direction, and a radius r·U^(1/n)."""
        radii = torch.rand(count, 1, dtype=torch.float64, generator=generator) ** (1 / self.dimension)
        return self.center + self.radius * radii * self._directions(count, generator)

    def boundary(self, count: int, generator: Generator | None = None) -> Tensor:
        """Independent uniform states on the sphere |x - center| = radius, (count, n)."""
        return self.center + self.radius * self._directions(count, generator)

    def _directions(self, count: int, generator: Generator | None) -> Tensor:
        normal = torch.randn(count, self.dimension, dtype=torch.float64, generator=generator)
        return normal / normal.square().sum(-1, keepdim=True).sqrt()

    def __repr__(self) -> str:
        return f"Ball({self.center.tolist()}, {self.radius})"
