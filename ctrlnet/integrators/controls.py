"""Who chooses the steps of a batch whose states have steps of their own: the tolerance, or the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Step
from ctrlnet.integrators.moves import Problem
from ctrlnet.integrators.rows import Rows
from ctrlnet.integrators.step_control import Tolerance, error_norms, first_steps, step_factors
from ctrlnet.sets import Number


class Judgement(NamedTuple):
    """Of a step that was tried: what is proposed for the next, whether it is accepted, whether no next one can help,
    and whether the reason is that something is not finite; (r, 1) each. Every one is accepted where only a proposal is
    given; `stuck` is None where it holds for none."""

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
    """Steps whose error estimates meet the tolerance; its choices are constants for the gradient.

    Args:
        slope: f at the start, (b, n).
    """

    def __init__(self, tolerance: Tolerance, order: int, slope: Tensor, lands: bool) -> None:
        self.tolerance, self.order, self.slope, self.lands = tolerance, order, slope, lands
        self.tries: float = tolerance.steps

    def first(self, problem: Problem, rows: Rows, ahead: Tensor) -> Tensor:
        """By the slope and its change."""
        found = first_steps(problem.rate, rows.t, rows.x, self.slope, ahead, self.order, self.tolerance)
        return self._bounded(found.detach())

    @torch.no_grad()
    def judged(self, rows: Rows, h: Tensor, done: Step) -> Judgement:
        """Accepted where the error is at most what is allowed; the next size by the PI controller."""
        assert done.error is not None
        allowed = self.tolerance.allowed(rows.x.detach(), done.x.detach())  # a constant in forward mode too
        error = torch.add(done.error.detach(), done.x.detach(), alpha=0.0)  # no number where the end is infinite
        error = error_norms(error, allowed).double().clamp_(min=1e-10)  # no step grows without a bound
        if not float(error.max()) <= 1:
            return self._judged_apart(rows, h, error.nan_to_num(math.inf, math.inf))
        proposed = self._bounded(h * step_factors(error, rows.error, self.order + 1, rows.held))
        rows.held, rows.error = None, error
        return Judgement(proposed)

    def _judged_apart(self, rows: Rows, h: Tensor, error: Tensor) -> Judgement:
        """Some are accepted, and some are not."""
        accepted = error <= 1
        rejected = ~accepted
        held = rejected if rows.held is None else rows.held | rejected
        proposed = self._bounded(h * step_factors(error, rows.error, self.order + 1, held))
        rows.held, rows.error = rejected, torch.where(accepted, error, rows.error)
        stuck = rejected & ((proposed.abs() < float(self.tolerance.shortest)) | (rows.t + proposed == rows.t))
        return Judgement(proposed, accepted, stuck if bool(stuck.any()) else None, error == math.inf)

    def size(self, proposed: Tensor, ahead: Callable[[], Tensor]) -> Tensor:
        """As proposed."""
        return proposed

    def _bounded(self, h: Tensor) -> Tensor:
        longest = float(self.tolerance.longest)
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
