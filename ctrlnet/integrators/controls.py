"""Who chooses the steps of a batch whose states have steps of their own: the tolerance, or the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Carry, Step
from ctrlnet.integrators.moves import Problem
from ctrlnet.integrators.step_control import Tolerance, error_norms, first_steps, step_factors
from ctrlnet.sets import Number


@dataclass
class Rows:
    """The states that still run: numbers in the batch (r,), times (r, 1), states (r, n), and what the next step needs.

    `h` is its size, `error` that of the last accepted one, `held` says where it may not grow, (r, 1) each; None:
    nowhere.
    """

    index: Tensor
    t: Tensor
    x: Tensor
    h: Tensor
    error: Tensor
    held: Tensor | None = None
    carry: Carry = None
    fresh: bool = True

    def of(self, kept: Tensor) -> Rows:
        """Some of them."""
        carry = None if self.carry is None else tuple(one[kept] for one in self.carry)
        held = None if self.held is None else self.held[kept]
        index, t, x, h, error = (one[kept] for one in (self.index, self.t, self.x, self.h, self.error))
        return Rows(index, t, x, h, error, held, carry, self.fresh)


class Judgement(NamedTuple):
    """Of a step that was tried: what is proposed for the next, whether it is accepted, whether no next one can help,
    and whether the reason is that something is not finite; (r, 1) each. Every one is accepted where only a proposal is
    given."""

    proposed: Tensor
    accepted: Tensor | None = None
    stuck: Tensor | None = None
    infinite: Tensor | None = None


class Control(Protocol):
    """Chooses step sizes.

    Attributes:
        tries: most steps tried for one state.
        lands: steps end at every instant that was asked for, not at the last alone.
    """

    tries: float
    lands: bool

    def first(self, problem: Problem, rows: Rows, ahead: Tensor) -> Tensor:
        """Signed sizes of the first steps, (r, 1), towards a target so far ahead [s]."""
        ...

    def judged(self, rows: Rows, h: Tensor, done: Step) -> Judgement:
        """What becomes of steps of size h that were tried."""
        ...

    def size(self, proposed: Tensor, ahead: Callable[[], Tensor]) -> Tensor:
        """Signed sizes of the next steps, (r, 1), towards targets so far ahead [s]."""
        ...


@final
class Adaptive:
    """Steps whose error estimates meet the tolerance; its choices are constants for the gradient."""

    def __init__(self, tolerance: Tolerance, order: int, lands: bool) -> None:
        self.tolerance, self.order, self.lands = tolerance, order, lands
        self.tries: float = tolerance.steps

    def first(self, problem: Problem, rows: Rows, ahead: Tensor) -> Tensor:
        """By the slope and its change."""
        return self._bounded(first_steps(problem.rate, rows.t, rows.x, ahead, self.order, self.tolerance))

    @torch.no_grad()
    def judged(self, rows: Rows, h: Tensor, done: Step) -> Judgement:
        """Accepted where the error is at most what is allowed; the next size by the PI controller."""
        assert done.error is not None
        allowed = self.tolerance.allowed(rows.x.detach(), done.x.detach())  # a constant in forward mode too
        error = error_norms(done.error.detach(), allowed).double()
        error = torch.where(done.x.isfinite().all(-1, keepdim=True), error, math.inf)
        accepted = error <= 1
        if bool(accepted.all()):
            proposed = self._bounded(h * step_factors(error, rows.error, self.order + 1, rows.held))
            rows.held, rows.error = None, error
            return Judgement(proposed)
        rejected = ~accepted
        held = rejected if rows.held is None else rows.held | rejected
        proposed = self._bounded(h * step_factors(error, rows.error, self.order + 1, held))
        rows.held, rows.error = rejected, torch.where(accepted, error, rows.error)
        short = (proposed.abs() < float(self.tolerance.shortest)) | (rows.t + proposed == rows.t)
        return Judgement(proposed, accepted, rejected & short, error == math.inf)

    def size(self, proposed: Tensor, ahead: Callable[[], Tensor]) -> Tensor:
        """As proposed."""
        return proposed

    def _bounded(self, h: Tensor) -> Tensor:
        longest, h = float(self.tolerance.longest), h.detach()
        return h if longest == math.inf else h.clamp(-longest, longest)


@final
class Equal:
    """Equal steps no longer than `step` [s] between any two instants; one step each when it is None."""

    def __init__(self, step: Number | None) -> None:
        self.step, self.lands, self.tries = step, True, math.inf

    def first(self, problem: Problem, rows: Rows, ahead: Tensor) -> Tensor:
        """A part of the way to the first instant."""
        return self.size(ahead, lambda: ahead)

    @torch.no_grad()
    def judged(self, rows: Rows, h: Tensor, done: Step) -> Judgement:
        """Every finite step is accepted; one that is not cannot be mended."""
        finite = done.x.isfinite()
        if bool(finite.all()):
            return Judgement(h)
        finite = finite.all(-1, keepdim=True)
        return Judgement(h, finite, ~finite, ~finite)

    def size(self, proposed: Tensor, ahead: Callable[[], Tensor]) -> Tensor:
        """What is left to the next instant, in equal parts."""
        left = ahead()
        return left if self.step is None else left / (left.abs() / float(self.step) - 1e-9).ceil().clamp(min=1)
