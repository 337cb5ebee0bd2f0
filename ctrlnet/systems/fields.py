"""Fields that depend on time, and fields of which an integrator knows more than their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

from torch import Tensor

Time: TypeAlias = "float | Tensor"  # [s]: a number, or a tensor that broadcasts against the states, (..., 1)
TimeField: TypeAlias = Callable[[Time, Tensor], Tensor]  # x' = f(t, x)


@final
@dataclass(frozen=True)
class Timed:
    """A field f(t, x) that depends on time. Made by `timed`."""

    function: TimeField

    def __call__(self, t: Time, x: Tensor) -> Tensor:
        return self.function(t, x)


def timed(f: TimeField) -> Timed:
    """Mark f(t, x) -> x', (..., n) to (..., n), as depending on time: `solve(timed(f), x0, t)`.

    `solve` gives it t [s] as a tensor that broadcasts against x: without dimensions where all states share the time,
    (..., 1) where each has its own.
    """
    return Timed(f)
