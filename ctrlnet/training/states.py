"""Where training looks: random states of a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box, vector


@final
class StateSampler:
    """Draws states of a box around an equilibrium, always the same ones for the same seed on any device.

    Args:
        box: of the states.
        at: equilibrium, within the box.
        seed: of the generator, which is this object's own.
        device: where the states are wanted.

    Raises:
        UsageError: the box does not contain the equilibrium (ShapeError: other dimension).
    """

    def __init__(self, box: Box, at: Sequence[object] | Tensor, seed: int, device: str | torch.device = "cpu") -> None:
        self.box = box
        self.at = vector(at, "at", box.dimension)
        if not bool(box.contains(self.at)):
            raise UsageError(f"{box!r} does not contain the equilibrium {self.at.tolist()}; widen or shift the box.")
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, count: int) -> Tensor:
        """States drawn uniformly over the box, (count, n)."""
        return self.box.sample(count, self.generator).to(self.device)

    def faces(self, count: int) -> Tensor:
        """States on the faces of the box, (count, n)."""
        return self.box.boundary(count, self.generator).to(self.device)

    def near(self, count: int, decades: float = 4.0) -> Tensor:
        """States around the equilibrium, (count, n): uniform direction, logarithm of the distance uniform.

        The distance, in half widths of the box, spans `decades` powers of ten up to 1, so that the linearised loop is
        seen as often as the far one.
        """
        direction = torch.randn(count, self.box.dimension, dtype=torch.float64, generator=self.generator)
        exponent = -decades * torch.rand(count, 1, dtype=torch.float64, generator=self.generator)
        step = direction / direction.norm(dim=-1, keepdim=True) * 10**exponent * self.box.half_widths
        return self._inside(self.at + step).to(self.device)

    def around(self, x: Tensor, spread: float = 0.005) -> Tensor:
        """States x, (count, n), moved by normal steps of `spread` half widths, kept in the box."""
        step = torch.randn(x.shape, dtype=torch.float64, generator=self.generator) * self.box.half_widths * spread
        return self._inside(x.cpu() + step).to(self.device)

    def choose(self, size: int, count: int) -> Tensor:
        """Indices below `size`, drawn with replacement, (count,)."""
        return torch.randint(size, (count,), generator=self.generator).to(self.device)

    def _inside(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.box.lower), self.box.upper)
