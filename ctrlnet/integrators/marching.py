"""One march through the instants, in equal steps that all states share or in steps of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.controls import Adaptive, Equal
from ctrlnet.integrators.equal_steps import Leg, equal_steps, legs
from ctrlnet.integrators.events import Event, Found
from ctrlnet.integrators.moves import Keep, Move, Problem, gathered
from ctrlnet.integrators.own_steps import Travel
from ctrlnet.integrators.solution import DONE, NON_FINITE
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.sets import Number
from ctrlnet.systems.fields import TimeField


@final
@dataclass(frozen=True, eq=False)
class Marched:
    """The states that were asked for, flat (t b + crossings, n), instants first; how each state ended, the number of
    its instants, of its steps and of those tried in vain, (b,); the accepted steps where they were kept."""

    x: Tensor
    moves: list[Move]
    found: list[Found]
    status: Tensor
    reached: Tensor
    steps: Tensor
    rejected: Tensor


@final
@dataclass(frozen=True, eq=False)
class Journey:
    """Everything of an integration but where it starts.

    Attributes:
        problem: what is integrated.
        instants: [s], (t,), or (t, b) where each state has its own.
        step, tolerance, events: as for `solve`.
    """

    problem: Problem
    instants: Tensor
    step: Number | None
    tolerance: Tolerance
    events: Sequence[Event]

    @property
    def embedded_order(self) -> int | None:
        """The order of the error estimate, where the steps are to be chosen by it."""
        return getattr(self.problem.method, "embedded_order", None) if self.step is None else None

    @property
    def shared(self) -> bool:
        """All states take the same steps."""
        return self.embedded_order is None and not self.events and self.instants.ndim == 1

    @property
    def plan(self) -> list[Leg]:
        """The steps that all states share; where each has its own instants, those of the first."""
        times = self.instants if self.instants.ndim == 1 else self.instants[:, 0]
        return legs(times.tolist(), self.step, bool(getattr(self.problem.method, "multistep", False)))

    def ask(self, x: Tensor) -> None:
        """Let the method refuse what it cannot be meant for.

        Raises:
            UsageError: the method's own.
        """
        if (check := getattr(self.problem.method, "check", None)) is not None:
            plan = self.plan
            check(self.problem.given, plan[0].t, x, max((leg.h for leg in plan), key=abs), len(plan))

    def march(self, x: Tensor, keep: Keep | None, blocks: bool = False) -> Marched:
        """From the states x (..., n); with what is to be kept of the accepted steps, or of blocks of them."""
        return self._equal(x, keep, blocks) if self.shared else self._own(x, keep)

    def _equal(self, x: Tensor, keep: Keep | None, blocks: bool) -> Marched:
        plan = self.plan
        states, moves = equal_steps(self.problem, x, plan, keep, blocks or keep is None)
        out = torch.stack(states)
        reached, status = _ends(out.detach().reshape(len(states), -1, x.shape[-1]))
        steps = torch.full_like(status, len(plan))
        return Marched(out.reshape(-1, x.shape[-1]), moves, [], status, reached, steps, torch.zeros_like(steps))

    def _own(self, x: Tensor, keep: Keep | None) -> Marched:
        flat = x.reshape(-1, x.shape[-1])
        instants = self.instants[:, None].expand(-1, len(flat)) if self.instants.ndim == 1 else self.instants
        instants = instants.T.contiguous()
        problem = self.problem.in_batch(x.shape[:-1])
        near, order = instants[:, :1].to(x.dtype), self.embedded_order
        carry = problem.begin(near, flat)
        slope = problem.slope(near, flat, carry)
        apart = separable(problem.rate, near, flat, slope)
        if self.events and not apart:
            raise UsageError(
                "The field cannot be evaluated for one state of the batch alone, which events need. Put what belongs "
                "to each state, such as a parameter, into the state as a constant."
            )
        if self.instants.ndim > 1 and getattr(problem.method, "multistep", False):
            raise UsageError(
                f"{type(problem.method).__name__} steps from earlier steps of the same size, which all states have to "
                "share; give instants of shape (t,), or a one-step method such as 'rk4'."
            )
        control = Equal(self.step) if order is None else Adaptive(self.tolerance, order, slope, lands=not apart)
        record = Travel(problem, instants, control, self.events, apart, keep).run(flat, carry)
        return Marched(
            gathered(record.values, record.slots, record.answers),
            record.moves, record.found, record.status, record.reached, record.steps, record.rejected,
        )  # fmt: skip


@torch.no_grad()
def _ends(x: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the instants each state reached, and how it ended, (b,) each, from (t, b, n)."""
    reached = torch.full(x.shape[1:2], len(x), device=x.device)
    if math.isfinite(float(x.sum())):  # and so is every one of them
        return reached, torch.full_like(reached, DONE)
    reached = x.isfinite().all(-1).long().cumprod(0).sum(0)
    return reached, torch.where(reached < len(x), NON_FINITE, DONE)


@torch.no_grad()
def separable(rate: TimeField, t: Tensor, x: Tensor, slope: Tensor) -> bool:
    """Whether the field can be asked about one state without the others.

    A function that holds something of the batch's own size, such as one parameter for each state, cannot.

    Args:
        slope: f(t, x).
    """
    if len(x) < 2:
        return True
    x = x.detach()  # a field that differentiates inside may look at whether its states want it
    try:
        alone = rate(t[-1:], x[-1:])
    except Exception:  # whatever it is, the batch as a whole will show it again
        return False
    whole = slope[-1:]
    size = whole.abs().max().clamp(min=torch.finfo(x.dtype).tiny)
    return alone.shape == whole.shape and bool((alone - whole).abs().max() <= torch.finfo(x.dtype).eps ** 0.5 * size)
