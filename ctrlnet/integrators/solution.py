"""What an integration returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.dense import Dense

Status: TypeAlias = Literal["done", "event", "step limit", "minimum step", "non-finite"]
STATUSES: tuple[Status, ...] = ("done", "event", "step limit", "minimum step", "non-finite")
RUNNING = -1
DONE, EVENT, STEP_LIMIT, MINIMUM_STEP, NON_FINITE = range(5)


@final
@dataclass(frozen=True, eq=False)
class Crossings:
    """Where one event happened, k the most times it did for any state of the batch.

    Attributes:
        t: times [s], (k, ...), in the order of the solution; NaN after a state's last one.
        x: states there, (k, ..., n).
        count: how often it happened, (...).

    Times and states carry gradients, that of the time by the implicit function theorem,
    dt = -(∂g/∂x dx + ∂g/∂θ dθ) / (dg/dt along the solution), second derivatives too; they are wrong where the solution
    grazes g = 0 or g jumps.
    """

    t: Tensor
    x: Tensor
    count: Tensor


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """The states at the instants that were asked for and reached.

    Attributes:
        t: instants [s], (t,) or (t, ...) as they were asked for, up to the last that any state of the batch reached.
        x: states, (t, ..., n); NaN where a state of the batch did not come so far.
        status: the worst of all states of the batch:
            "done";
            "event": a terminal event came first;
            "step limit": the tolerance needs more steps than are allowed;
            "minimum step": it needs smaller steps than are allowed, or than floating point has; or a terminal event
            comes at once after a start on its surface;
            "non-finite": the state, the field or the function of an event stopped being finite.
        statuses: that of each state of the batch, (...), as its place in this list.
        events: for each event where it happened.
        dense: the solution between the steps, a function of time; None where no step was
            finished, from `odeint`, and after pickling.
        steps, rejected: the most steps that any state took, and tried in vain.
        sample_steps: steps of each state, (...).
    """

    t: Tensor
    x: Tensor
    status: Status
    statuses: Tensor
    events: tuple[Crossings, ...]
    dense: Dense | None
    steps: int
    rejected: int
    sample_steps: Tensor

    def __getstate__(self) -> dict[str, Any]:
        """Without `dense`, which needs the field, and that is often a closure."""
        return {**self.__dict__, "dense": None}

    def samples(self, status: str) -> Tensor:
        """Indices (k, batch dimensions) of the states of the batch that ended so.

        Raises:
            UsageError: there is no such status.
        """
        if status not in STATUSES:
            raise UsageError(f"No status is named {status!r}. Allowed: {', '.join(STATUSES)}.")
        return torch.nonzero(self.statuses == STATUSES.index(status))
