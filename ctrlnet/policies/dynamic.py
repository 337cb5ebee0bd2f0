"""A policy with an internal state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.errors import UsageError
from ctrlnet.policies.feedback import Feedback
from ctrlnet.sets import vector
from ctrlnet.systems import Memory, System
from ctrlnet.types import Control, State


@final
class DynamicPolicy(nn.Module):
    """A neural ODE that is driven by the plant and drives it:

        z' = φ(x, z) - φ(x*, z*),    u = ψ(x, z) - ψ(x*, z*) + u*,    both cut off at their limits.

    It maps the joint state (x, z), (..., n + k), to the joint control (u, z'), (..., m + k): state feedback of what
    `augmented(plant, memory)` makes, trained, proved and simulated as any other. x* and z* are put in anew in every
    call, so that z' = 0 and u = u* there is an identity of the traced function.

    Args:
        readout, motion: ψ and φ, maps of the (x, z) / scale seen, (..., p + k), to (..., m) and to (..., k).
        plant: `augmented(...)`; it has the limits of u and of z', and z*.
        at: x*, n numbers without those of the memory.
        control_at: u*, m numbers within the limits.
        scale: n + k powers of two, typical sizes of x and z; None is all ones.
        sees: the p coordinates of x that the policy measures, as (0,) for a position alone; None is all n.

    Raises:
        ShapeError: a map, at, control_at or scale do not fit.
        UsageError: the plant has no memory, sees names no coordinates, or as `Feedback`.
    """

    def __init__(
        self,
        readout: nn.Module,
        motion: nn.Module,
        plant: System,
        *,
        at: Sequence[object] | Tensor,
        control_at: Sequence[object] | Tensor,
        scale: Sequence[object] | Tensor | None = None,
        sees: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        memory = _memory_of(plant)
        n = plant.n - memory.size
        heads = _Heads(readout, motion, _columns(sees, n, memory.size))
        rest = torch.cat([vector(control_at, "control_at", plant.m - memory.size), torch.zeros(memory.size)])
        start = torch.cat([vector(at, "at", n), memory.at])
        self.feedback = Feedback(heads, plant.limits, at=start, control_at=rest, scale=scale)

    def forward(self, x: State) -> Control:
        """(u, z'), (..., m + k), at joint states (x, z), (..., n + k)."""
        u: Control = self.feedback(x)
        return u

    def unsaturated(self, x: State) -> Control:
        """The same before the limits."""
        return self.feedback.unsaturated(x)


class _Heads(nn.Module):
    """(ψ(y), φ(y)) of the entries y that are seen."""

    def __init__(self, readout: nn.Module, motion: nn.Module, columns: tuple[int, ...] | None) -> None:
        super().__init__()
        self.readout, self.motion, self.columns = readout, motion, columns

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.columns is None else torch.stack([x[..., i] for i in self.columns], -1)
        return torch.cat([self.readout(y), self.motion(y)], -1)


def _memory_of(plant: System) -> Memory:
    if not isinstance(plant, System) or plant.memory is None:
        raise UsageError("The plant has no memory for the policy's state; give ctrlnet.augmented(plant, memory).")
    return plant.memory


def _columns(sees: Sequence[int] | None, n: int, k: int) -> tuple[int, ...] | None:
    """Places of what is seen in (x, z); None for all."""
    if sees is None:
        return None
    if not sees or len(set(sees)) != len(sees) or not set(sees) <= set(range(n)):
        raise UsageError(f"sees is {sees!r}; give places of coordinates of x, each once, from 0 to {n - 1}.")
    return (*sees, *range(n, n + k))
