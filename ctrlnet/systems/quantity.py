"""Names and units of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ctrlnet.errors import UsageError


class Quantity(NamedTuple):
    """A coordinate of a state or of a control: its name and its SI unit."""

    name: str
    unit: str

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]"


def quantities(given: Sequence[Quantity], name: str) -> tuple[Quantity, ...]:
    """Pairs of name and unit.

    Raises:
        UsageError: something else.
    """
    if not all(isinstance(one, (tuple, list)) and len(one) == 2 for one in given):
        raise UsageError(f"{name} is {given!r}; give a name and a unit of each coordinate, as in [('angle', 'rad')].")
    return tuple(Quantity(*one) for one in given)
