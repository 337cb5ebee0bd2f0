"""Forward invariance of a box."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.motion import field_of
from ctrlnet.errors import UsageError
from ctrlnet.sets import Box, check_states
from ctrlnet.systems import AnySystem
from ctrlnet.types import Field


@final
@dataclass(frozen=True, eq=False)
class StayWithin:
    """A box is forward invariant: a solution that starts in it never leaves it.

    Its clauses, two for each axis i:
        lower face i   Fᵢ(x) > 0    where xᵢ = lowerᵢ, x in the box
        upper face i  -Fᵢ(x) > 0    where xᵢ = upperᵢ, x in the box

    The margin at any x is the one at the state of the face that is nearest to x, so that every sampled state counts on
    every face.

    Args:
        box: of the dimension of the state.

    Raises:
        UsageError: not a Box.

    Source: Blanchini, Set invariance in control, Automatica 35 (1999), 1747, sec. 3: Nagumo's theorem.
    """

    box: Box

    def __post_init__(self) -> None:
        if not isinstance(self.box, Box):
            raise UsageError(f"box is {self.box!r}; give ctrlnet.Box(lower, upper).")

    def clauses(self, system: AnySystem) -> list[Clause]:
        """The inward speed on each of the 2n faces."""
        field = field_of(system, "StayWithin")
        return [
            Clause(f"{'upper' if upper else 'lower'} face {axis}", partial(_inward, self.box, field, axis, upper))
            for axis in range(self.box.dimension)
            for upper in (False, True)
        ]


def _inward(box: Box, field: Field, axis: int, upper: bool, x: Tensor) -> Tensor:
    """Speed into the box at the state of the face nearest to x, (..., n) to (...)."""
    check_states(x, box.dimension)
    low, high = box.lower.to(x), box.upper.to(x)
    across = torch.arange(box.dimension, device=x.device) == axis
    nearest = torch.where(across, high if upper else low, x.clamp(low, high))
    speed = field(nearest)[..., axis]
    return -speed if upper else speed
