"""Sublevel sets of a candidate inside a box."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Generator, Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets.box import Box
from ctrlnet.sets.vectors import Number
from ctrlnet.types import Margin

_CHUNK = 16_384  # states a draw: large enough for vectorised V, small enough to keep in cache
_LEAST_ACCEPTANCE = 1e-5


class Volume(NamedTuple):
    """A Monte-Carlo volume with its standard error."""

    estimate: float
    standard_error: float


@final
class Sublevel:
    """The set {x in box : V(x) <= level}.

    Args:
        V: maps states (..., n) to (...).
        level: the bound on V, in the units of V.
        box: the box that states are drawn from.
    """

    def __init__(self, V: Margin, level: Number, box: Box) -> None:
        self.V = V
        self.level = float(level)
        self.box = box
        if not math.isfinite(self.level):
            raise UsageError(f"level is {level}; it must be finite.")

    @property
    def dimension(self) -> int:
        """Number of axes, n."""
        return self.box.dimension

    def contains(self, x: Tensor) -> Tensor:
        """True for each state of the box with V(x) <= level; x (..., n), result (...) of bool."""
        inside = self.box.contains(x)
        with torch.no_grad():
            V = self.V(x)
        if V.shape != inside.shape:
            raise ShapeError(f"V maps {tuple(x.shape)} to {tuple(V.shape)}; it must give {tuple(inside.shape)}.")
        return inside & V.le(self.level)

    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """Independent uniform states of the set, by rejection from the box, (count, n).

        Raises:
            UsageError: fewer than one state in 100,000 is accepted; draw from a smaller box.
        """
        found: list[Tensor] = []
        have = drawn = 0
        while have < count:
            x = self.box.sample(_CHUNK, generator)
            found.append(x[self.contains(x)])
            have, drawn = have + len(found[-1]), drawn + _CHUNK
            if drawn > 10 / _LEAST_ACCEPTANCE and have < _LEAST_ACCEPTANCE * drawn:
                raise UsageError(
                    f"Only {have} of {drawn} states of {self.box!r} have V <= {self.level:g}; "
                    "give a smaller box around the set or a larger level."
                )
        return torch.cat(found)[:count] if found else self.box.lower.new_empty(0, self.dimension)

    def volume(self, count: int = 100_000, generator: Generator | None = None) -> Volume:
        """Monte-Carlo volume with its standard error, |box|·p and |box|·√(p(1-p)/count), from `count` states."""
        hits = sum(
            int(self.contains(self.box.sample(min(_CHUNK, count - start), generator)).sum())
            for start in range(0, count, _CHUNK)
        )
        p = hits / count
        return Volume(self.box.volume * p, self.box.volume * math.sqrt(p * (1 - p) / count))

    def __repr__(self) -> str:
        return f"Sublevel(V <= {self.level:g} in {self.box!r})"
