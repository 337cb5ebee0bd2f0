"""Fields that depend on time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

TimeField = Callable[[float, Tensor], Tensor]  # x' = f(t, x)


@final
@dataclass(frozen=True)
class Timed:
    """A field f(t, x) that depends on time; `solve` gives it t [s] as a number. Made by `timed`."""

    function: TimeField

    def __call__(self, t: float, x: Tensor) -> Tensor:
        return self.function(t, x)


def timed(f: TimeField) -> Timed:
    """Mark f(t, x) -> x', (..., n) to (..., n), as depending on time: `solve(timed(f), x0, t)`."""
    return Timed(f)
