"""What a condition is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

from ctrlnet.types import Margin


@final
@dataclass(frozen=True, eq=False)
class Clause:
    """One requirement:  margin(x) > 0  wherever  w(x) <= 0  for every w of `where`.

    Args:
        name: what the clause says, in a word: "decrease", "positivity".
        margin: maps (..., n) to (...), piecewise differentiable, positive where the requirement holds.
        where: functions (..., n) to (...) that bound the set; empty for every state but the equilibrium.
        scale: maps (..., n) to (...), the size against which the margin is judged when relative; None is 1.
    """

    name: str
    margin: Margin
    where: tuple[Margin, ...] = ()
    scale: Margin | None = None


class Condition(Protocol):
    """A conjunction of clauses about a system."""

    def clauses(self, system: Any) -> list[Clause]:
        """The clauses, for a field (..., n) to (..., n); for some conditions also a Disturbed or a DiscreteMap."""
        ...
