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
        self._lower, self._upper, self._half = (one.to(self.device) for one in (box.lower, box.upper, box.half_widths))

    def uniform(self, count: int) -> Tensor:
        """States drawn uniformly over the box, (count, n)."""
        return self._there(self.box.sample(count, self.generator))

    def faces(self, count: int) -> Tensor:
        """States on the faces of the box, (count, n)."""
        return self._there(self.box.boundary(count, self.generator))

    def near(self, count: int, decades: float = 4.0) -> Tensor:
        """States around the equilibrium, (count, n): uniform direction, logarithm of the distance uniform.

        The distance, in half widths of the box, spans `decades` powers of ten up to 1, so that the linearised loop is
        seen as often as the far one.
        """
        direction = torch.randn(count, self.box.dimension, dtype=torch.float64, generator=self.generator)
        exponent = -decades * torch.rand(count, 1, dtype=torch.float64, generator=self.generator)
        step = direction / direction.norm(dim=-1, keepdim=True) * 10**exponent * self.box.half_widths
        x = torch.minimum(torch.maximum(self.at + step, self.box.lower), self.box.upper)
        return self._there(x)

    def around(self, x: Tensor, spread: float = 0.005) -> Tensor:
        """States x, (count, n), on the device, moved by normal steps of `spread` half widths, kept in the box."""
        step = self._there(torch.randn(x.shape, dtype=torch.float64, generator=self.generator)) * self._half * spread
        return torch.minimum(torch.maximum(x + step, self._lower), self._upper)

    def choose(self, size: int, count: int) -> Tensor:
        """Indices below `size`, drawn with replacement, (count,)."""
        return self._there(torch.randint(size, (count,), generator=self.generator))

    def _there(self, x: Tensor) -> Tensor:
        """The same numbers on the device; a GPU fetches them from pinned memory while the host goes on."""
        return x.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else x.to(self.device)
