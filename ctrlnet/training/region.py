"""A condition asked for within a level set only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ctrlnet.conditions import Clause, Condition
from ctrlnet.types import Field, Margin


@final
@dataclass(frozen=True, eq=False)
class Within:
    """Every clause of a condition, or to lie outside of {V <= level}:  max(margin, sharpness·scale·(V - level)) > 0.

    Outside, nothing is asked; inside, a violated margin can be mended in two ways, and the gradient takes the cheaper:
    raise the margin, or raise V there, which gives the state up and shrinks the region.

    Args:
        condition: whose clauses are meant.
        V: maps (..., n) to (...).
        level: of V.
        sharpness: of the exchange; large values give up states only where V is close to the level.

    Source: after Yang et al., Lyapunov-stable neural control for state and output feedback, ICML 2024.
    """

    condition: Condition
    V: Margin
    level: float
    sharpness: float = 3.0

    def clauses(self, system: Field) -> list[Clause]:
        """The clauses of the condition, each satisfied outside of the level set too."""
        V = _Remembered(self.V)
        return [self._within(clause, V) for clause in self.condition.clauses(system)]

    def _within(self, clause: Clause, V: Margin) -> Clause:
        margin = V if clause.margin is self.V else clause.margin
        scale = V if clause.scale is self.V else clause.scale

        def either(x: Tensor) -> Tensor:
            value = V(x)
            size = torch.ones_like(value) if scale is None else scale(x).detach()
            return torch.maximum(margin(x), self.sharpness * size * (value - self.level))

        return Clause(clause.name, either, clause.where, scale)


class _Remembered:
    """A function that remembers its last value: all clauses ask for V at the same states."""

    def __init__(self, function: Margin) -> None:
        self._function = function
        self._last: tuple[Tensor, bool, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        # what was computed with a gradient serves where none is wanted, not the other way round
        if self._last is not None and self._last[0] is x and (self._last[1] or not torch.is_grad_enabled()):
            return self._last[2]
        value = self._function(x)
        self._last = (x, torch.is_grad_enabled(), value)
        return value
