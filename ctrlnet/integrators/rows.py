"""The states of a batch that still run, and how far they have come."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Carry
from ctrlnet.integrators.solution import RUNNING


@final
@dataclass
class Rows:
    """The states of a batch that still run, r of them.

    Attributes:
        index: their numbers in the batch, (r,).
        t, x, h: times (r, 1), states (r, n), signed sizes of the next steps (r, 1).
        carry, fresh: what the method handed to its next step; it was made anew by `init`.
        error: of the last accepted step, (r, 1).
        held: where the next step may not grow, (r, 1); None for nowhere.
        instants, following: those of their own (r, t), and the next of them, or the last, (r, 1).
        status, reached, missed, rejected: how each stands, the number of its instants reached, of the steps of the
            others that it did not take, and of those that it tried in vain, (r,).
        changed: some status did since this was last looked at.
    """

    index: Tensor
    t: Tensor
    x: Tensor
    h: Tensor
    error: Tensor
    instants: Tensor
    following: Tensor
    status: Tensor
    reached: Tensor
    missed: Tensor
    rejected: Tensor
    held: Tensor | None = None
    carry: Carry = None
    fresh: bool = True
    changed: bool = False

    def of(self, kept: Tensor) -> Rows:
        """Some of them."""
        return Rows(*(_taken(getattr(self, one.name), kept) for one in fields(self)))


def rows_of(instants: Tensor) -> Rows:
    """All of a batch at the first of their instants (b, t); states and sizes are to follow."""
    t, index = instants[:, :1], torch.arange(len(instants), device=instants.device)
    none = torch.zeros_like(index)
    return Rows(
        index, t, t, t, torch.ones_like(t), instants, instants[:, 1:2], none + RUNNING, none + 1, none, none + 0
    )


def _taken(part: Any, kept: Tensor) -> Any:
    if isinstance(part, tuple):
        return tuple(_taken(one, kept) for one in part)
    return part.index_select(0, kept) if isinstance(part, Tensor) else part
