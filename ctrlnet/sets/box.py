"""Axis-aligned boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets.vectors import check_states, vector


@final
class Box:
    """The set {x : lower <= x <= upper}, bounds in the units of x.

    Args:
        lower, upper: n finite numbers each, lower < upper; kept as float64 vectors of shape (n,).

    Raises:
        UsageError: lower is not below upper (ShapeError: lengths differ; NonFinite: a bound is not finite).
    """

    def __init__(self, lower: Sequence[object] | Tensor, upper: Sequence[object] | Tensor) -> None:
        self.lower = vector(lower, "lower")
        self.upper = vector(upper, "upper")
        if self.lower.shape != self.upper.shape:
            raise ShapeError(f"lower has {len(self.lower)} entries and upper {len(self.upper)}; give one pair an axis.")
        wrong = (self.lower >= self.upper).nonzero().flatten().tolist()
        if wrong:
            raise UsageError(f"lower must be below upper; in {self!r} it is not on axis {', '.join(map(str, wrong))}.")

    @property
    def dimension(self) -> int:
        """Number of axes, n."""
        return self.lower.numel()

    @property
    def center(self) -> Tensor:
        """Midpoint, (n,)."""
        return 0.5 * self.lower + 0.5 * self.upper

    @property
    def half_widths(self) -> Tensor:
        """Half the extent along each axis, (n,)."""
        return 0.5 * self.upper - 0.5 * self.lower

    @property
    def volume(self) -> float:
        """Product of the extents."""
        return float((self.upper - self.lower).prod())

    def contains(self, x: Tensor) -> Tensor:
        """True for each state that lies in the closed box; x (..., n), result (...) of bool."""
        check_states(x, self.dimension)
        return ((x >= self.lower.to(x.device)) & (x <= self.upper.to(x.device))).all(-1)

    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """Independent uniform states, (count, n)."""
        uniform = torch.rand(count, self.dimension, dtype=torch.float64, generator=generator)
        return self.lower + uniform * (self.upper - self.lower)

    def grid(self, points_per_axis: int) -> Tensor:
        """The regular grid with both ends of every axis, last axis fastest, (points_per_axis ** n, n)."""
        if points_per_axis < 2:
            raise UsageError(f"points_per_axis is {points_per_axis}; a grid needs at least 2, both ends of an axis.")
        ends = zip(self.lower.tolist(), self.upper.tolist(), strict=True)
        axes = [torch.linspace(low, high, points_per_axis, dtype=torch.float64) for low, high in ends]
        return torch.stack(torch.meshgrid(axes, indexing="ij"), -1).reshape(-1, self.dimension)

    def boundary(self, count: int, generator: Generator | None = None) -> Tensor:
        """States on the faces: a face drawn uniformly among the 2n, then a uniform state on it, (count, n)."""
        x = self.sample(count, generator)
        axis = torch.randint(self.dimension, (count, 1), generator=generator)
        is_upper = torch.rand(count, 1, dtype=torch.float64, generator=generator) < 0.5
        return x.scatter(1, axis, torch.where(is_upper, self.upper[axis], self.lower[axis]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Box):
            return NotImplemented
        return torch.equal(self.lower, other.lower) and torch.equal(self.upper, other.upper)

    def __hash__(self) -> int:
        return hash((tuple(self.lower.tolist()), tuple(self.upper.tolist())))

    def __repr__(self) -> str:
        return f"Box({self.lower.tolist()}, {self.upper.tolist()})"


def product(*boxes: Box) -> Box:
    """The box whose axes are those of the first, then of the second, and so on."""
    return Box(torch.cat([box.lower for box in boxes]), torch.cat([box.upper for box in boxes]))
