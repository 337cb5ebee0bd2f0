"""gradient="continuous_adjoint": the adjoint equation, solved backwards between the instants.

    x' = f(t, x),   a' = -(∂f/∂x)ᵀ a,   dL/dθ = ∫ (∂f/∂θ)ᵀ a dt,   a growing by ∂L/∂x at every instant,

by the same method and tolerance (or step) as the solution, so that derivatives are wrong by about as much as it is:
they are those of the equation, not of the discrete solution. The integral is a quadrature over the accepted steps, with
the weights and stages of a Runge-Kutta method (it is then the same as if it were part of the state, without a share in
the choice of steps), by Simpson's rule elsewhere.

Source: Pontryagin, Boltyanskii, Gamkrelidze and Mishchenko, The mathematical theory of optimal processes, 1962; Chen,
Rubanova, Bettencourt and Duvenaud, Neural ordinary differential equations, 2018.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.compiled import stepping
from ctrlnet.integrators.gradients.capture import Standing
from ctrlnet.integrators.gradients.grid import Grid, bare, grid_of
from ctrlnet.integrators.gradients.stagewise import points_and_stages
from ctrlnet.integrators.gradients.walking import Totals, differentiated, leaf
from ctrlnet.integrators.marching import Journey
from ctrlnet.integrators.moves import Move, Problem, interpolated
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.integrators.solution import DONE
from ctrlnet.systems.fields import Time, TimeField


@final
class Continuous:
    """Solves the adjoint equation of a journey back from its answers.

    Args:
        states: at the instants, (t, ..., n).
    """

    def __init__(self, journey: Journey, states: Tensor, known: Standing) -> None:
        self.journey, self.states, self.known, self.total = journey, states, known, Totals(len(known.inputs))

    def derivatives(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """With respect to the start and the parameters, from those with respect to the states at the instants."""
        wanted = cotangent.reshape(self.states.shape)
        finite = self.states.isfinite().all(-1, keepdim=True)
        states = torch.where(finite, self.states, self.states[0])
        adjoint = torch.zeros_like(states[0])
        for number in reversed(range(1, len(states))):
            adjoint = adjoint + torch.where(finite[number], wanted[number], 0.0)
            if bool(adjoint.any()):
                adjoint = self._back(number, states[number], adjoint)
        return adjoint + wanted[0], self.total.sums

    def _back(self, number: int, x: Tensor, adjoint: Tensor) -> Tensor:
        """The adjoint at the instant before."""
        back = replace(self.journey, instants=self.journey.instants[[number, number - 1]])
        # made here and not kept, since it refers to self: states in a cycle would stay until they are collected
        part = replace(back, problem=_of_rate(back.problem, self._augmented))
        start = torch.cat([x, adjoint], -1)
        augmented, plain = grid_of(part, start), grid_of(back, x)

        def keep(move: Move) -> Move:
            self._integrate(augmented, plain, move)
            return bare(move)

        with torch.no_grad():
            marched = part.march(start, keep)
        if bool((marched.status != DONE).any()):
            raise UsageError(
                "The adjoint equation could not be solved backwards: the field is stiff or unstable in that direction. "
                "Give gradient='checkpoint' or 'symplectic_adjoint', which do not solve it."
            )
        return marched.x.reshape(2, *x.shape[:-1], -1)[1][..., x.shape[-1] :]

    def _augmented(self, t: Time, z: Tensor) -> Tensor:
        """(x, a)' at z = (x, a)."""
        x, adjoint = z.chunk(2, -1)
        x = leaf(x)
        with torch.enable_grad(), self.known.context:
            slope = self.journey.problem.rate(t, x)
        (back,) = differentiated([(slope, -adjoint)], [x], self.known)
        return torch.cat([slope.detach(), torch.zeros_like(x) if back is None else back], -1)

    def _integrate(self, augmented: Grid, plain: Grid, move: Move) -> None:
        """Adds the share of one step in the integral, whose direction is backwards."""
        problem, rate, method = augmented.local(move), plain.local(move).rate, self.journey.problem.method
        if isinstance(method, RungeKutta):
            points, _ = points_and_stages(problem, method.tableau, move, all_of_them=False)
            nodes, weights = list(method.tableau.c), list(method.tableau.b)
        else:
            points = [move.x, interpolated(problem, move, 0.5), move.end]
            nodes, weights = [0.0, 0.5, 1.0], [1 / 6, 2 / 3, 1 / 6]
        for point, node, weight in zip(points, nodes, weights, strict=False):
            if weight:
                x, adjoint = point.detach().chunk(2, -1)
                x = leaf(x)
                with torch.enable_grad(), self.known.context:
                    slope = rate(move.t + node * move.h, x)
                share = [(slope, -float(weight) * move.h * adjoint)]
                self.total.add(differentiated(share, [x, *self.known.inputs], self.known)[1:])


def _of_rate(problem: Problem, rate: TimeField) -> Problem:
    """The same method for another field."""
    return Problem(problem.method, rate, rate, stepping(problem.method, rate, rate, False), problem.field)
