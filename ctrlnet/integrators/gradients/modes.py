"""What each way to a gradient serves, keeps of the steps, and does with them on the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.gradients.capture import Standing, standing
from ctrlnet.integrators.gradients.continuous import Continuous
from ctrlnet.integrators.gradients.grid import Grid, bare
from ctrlnet.integrators.gradients.recovered import Anchors, spacing
from ctrlnet.integrators.gradients.retraced import Retraced
from ctrlnet.integrators.gradients.stagewise import Stagewise
from ctrlnet.integrators.gradients.walking import Pull, walked
from ctrlnet.integrators.marching import Journey, Marched
from ctrlnet.integrators.moves import Move
from ctrlnet.integrators.runge_kutta import RungeKutta


def require_served(gradient: str, journey: Journey) -> None:
    """Refuse a journey that this way to a gradient does not serve.

    Raises:
        UsageError: saying which one does.
    """
    method = journey.problem.method
    if gradient == "symplectic_adjoint" and not isinstance(method, RungeKutta):
        raise UsageError(
            f"gradient='symplectic_adjoint' serves explicit Runge-Kutta methods, and the method is {method!r}. Give "
            f"gradient='checkpoint', which serves every method, 'backprop'{_or_reversible(journey)}."
        )
    if gradient == "reversible" and not hasattr(method, "back"):
        raise UsageError(
            f"gradient='reversible' needs a method with an exact inverse, and {method!r} has none. Give "
            "method='reversible_heun', 'mccallum_foster', or 'verlet' for a Separable field; or gradient='checkpoint'."
        )
    if gradient == "reversible" and not journey.shared:
        raise UsageError(
            "gradient='reversible' needs equal steps that all states share: give a step, instants (t,) for all of the "
            "batch and no events; or gradient='checkpoint'."
        )
    if gradient == "continuous_adjoint" and method.needs != "Field":
        raise UsageError(
            f"gradient='continuous_adjoint' solves a plain field, and {method!r} needs a {method.needs}. Give "
            f"gradient='checkpoint', 'backprop'{_or_reversible(journey)}, or a method for plain fields."
        )
    if gradient == "continuous_adjoint" and journey.events:
        raise UsageError(
            "gradient='continuous_adjoint' knows no events: it solves the adjoint equation from instant to instant for "
            "all states at once, and events come at times of each state's own. Give gradient='checkpoint' or "
            "'symplectic_adjoint', exact and with the memory of the states alone, or 'backprop'."
        )


def _or_reversible(journey: Journey) -> str:
    return " or 'reversible'" if hasattr(journey.problem.method, "back") and journey.shared else ""


@final
@dataclass(eq=False)
class Trip:
    """One journey as it was made, and the way back.

    Attributes:
        parameters: the tensors besides the start that get derivatives.
        back: (standing parameters, derivatives of the flat answers) to those of the start and of the parameters.
    """

    gradient: str
    journey: Journey
    grid: Grid
    parameters: list[Tensor]
    back: Callable[[Standing, Tensor], tuple[Tensor, list[Tensor | None]]] = field(init=False)

    def derivatives(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """With respect to the start and the parameters, from those with respect to the flat answers."""
        x, parameters = self.back(standing(self.parameters), cotangent)
        return x, parameters

    def made(self, x: Tensor, keep: bool) -> Marched:
        """The journey from x, keeping what the way back needs; with all steps where they are to be kept."""
        ways = {
            "checkpoint": self._checkpoint,
            "symplectic_adjoint": self._symplectic_adjoint,
            "reversible": self._reversible,
            "continuous_adjoint": self._continuous_adjoint,
        }
        return ways[self.gradient](x, keep)

    def _march(self, x: Tensor, keep: bool, kept: Callable[[Move], Move], blocks: bool = False) -> Marched:
        moves = self.grid.moves

        def both(move: Move) -> Move:
            moves.append(kept(move))
            return move if keep else moves[-1]

        return self.journey.march(x, both, blocks and not keep)

    def _checkpoint(self, x: Tensor, keep: bool) -> Marched:
        return self._stepwise(x, keep, Retraced)

    def _symplectic_adjoint(self, x: Tensor, keep: bool) -> Marched:
        return self._stepwise(x, keep, Stagewise)

    def _stepwise(self, x: Tensor, keep: bool, pull: Callable[[Grid, Standing], Pull]) -> Marched:
        grid = self.grid
        marched = self._march(x, keep, self._slim, blocks=pull is Retraced)
        finite = not grid.shared or bool((marched.reached == grid.instants).all())
        moves = grid.moves if finite else [_finite(move) for move in grid.moves]

        def back(known: Standing, cotangent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
            return walked(grid, reversed(moves), pull(grid, known), known, cotangent)

        self.back = back
        return marched

    def _slim(self, move: Move) -> Move:
        """The states of a step, and the carry before it where it cannot be made again from them."""
        end = move.end if self.grid.shared else move.x.new_empty(0)
        before = None if move.fresh or not self.grid.begins else move.before
        return move._replace(end=end, before=before, after=None, fresh=move.fresh and self.grid.begins)

    def _reversible(self, x: Tensor, keep: bool) -> Marched:
        plan, grid = self.journey.plan, self.grid
        if spacing(grid.problem.method) <= 1:  # every state would be kept
            return self._checkpoint(x, keep)
        anchors = Anchors(grid, {i - 1 for i, leg in enumerate(plan) if leg.fresh} | {len(plan) - 1})

        def kept(move: Move) -> Move:
            anchors.see(move)
            return bare(move)

        marched = self._march(x, keep, kept)
        if bool((marched.reached < grid.instants).any()):  # there is no way back from infinity
            grid.moves.clear()
            return self._checkpoint(x, keep)

        def back(known: Standing, cotangent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
            return walked(grid, anchors.moves(), Retraced(grid, known), known, cotangent)

        self.back = back
        return marched

    def _continuous_adjoint(self, x: Tensor, keep: bool) -> Marched:
        marched, journey = self._march(x, keep, bare), self.journey
        states = marched.x.reshape(self.grid.instants, *x.shape).clone()

        def back(known: Standing, cotangent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
            return Continuous(journey, states, known).derivatives(cotangent)

        self.back = back
        return marched


def _finite(move: Move) -> Move:
    """The step of the states that stay finite; the others, of which nothing is wanted, do what one of those does."""
    finite = move.x.isfinite().all(-1, keepdim=True) & move.end.isfinite().all(-1, keepdim=True)
    one = int(finite.flatten().long().argmax())

    def instead(part: Tensor) -> Tensor:
        return torch.where(finite, part, part.reshape(-1, part.shape[-1])[one])

    before = None if move.before is None else tuple(map(instead, move.before))
    return move._replace(x=instead(move.x), before=before)
