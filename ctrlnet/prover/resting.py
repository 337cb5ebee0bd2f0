"""A plant x' = f + g u near x*, where a control u* in U holds it: the law that a proof of existence has there.

No constant control will do near x*. The law u* + K (x - x*) takes its place on a box R on which it stays in U, the
matrix inequalities of `equilibrium` hold for F = f + g (u* + K (x - x*)), and the barriers' margins are positive: all
that for every value of a disturbance.

With H = Hess V(x*), A = ∂(f + g u*)/∂x and B = g(x*), the decrease wants sym(HA) + (rate/2) H + sym(HBK) negative
definite. K = -k W Bᵀ H with W > 0 diagonal achieves that for every large k whenever any K does (Finsler's lemma; Boyd,
El Ghaoui, Feron and Balakrishnan, Linear Matrix Inequalities in System and Control Theory, 1994, sec. 2.6.2). W holds
the squared distances of u* from the ends of U, so that a control that rests at an end stays there. The larger k, the
smaller the box on which the law is admissible, so a few are tried, from the least on: those for the centre of a
disturbance's box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.conditions import ExponentialStability
from ctrlnet.graph import evaluate
from ctrlnet.prover.advice import ELSEWHERE, curvature
from ctrlnet.prover.certificate import Json, number
from ctrlnet.prover.claims import equilibrium_of
from ctrlnet.prover.controls import Plant
from ctrlnet.prover.disturbances import joined
from ctrlnet.prover.equilibrium import HALVINGS, Neighbourhood, definite_in_parts, shape
from ctrlnet.prover.holding import control_at
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.slope import slope_bounds
from ctrlnet.sets import Box

GAINS = 6  # values of k tried, each twice the one before
RESERVE = 1e-9  # of U, that the law leaves to the checker


@dataclass(frozen=True, kw_only=True)
class LawNeighbourhood(Neighbourhood):
    """R with its law: K (m, n) and u*."""

    gain: Tensor
    control: tuple[Fraction, ...]

    def document(self) -> Json:
        """As the certificate writes it."""
        gain = [[entry.hex() for entry in row] for row in self.gain.tolist()]
        return {**super().document(), "gain": gain, "control": [number(entry) for entry in self.control]}

    def shrunk(self, factor: float, about: Tensor) -> LawNeighbourhood:
        smaller = super().shrunk(factor, about)
        return replace(self, lower=smaller.lower, upper=smaller.upper)


@dataclass(frozen=True, kw_only=True)
class RestingPlant(Loop):
    """The plant about x*: `field` is f + g u*.

    rest: u*, and whether it is certain that no u in U holds the plant at x*.
    barriers: node and rate of each h.
    """

    plant: Plant
    rest: tuple[list[Fraction] | None, bool]
    barriers: tuple[tuple[int, Fraction], ...]

    def unsettled(self) -> tuple[str, bool] | None:
        """As for a closed loop; or that no control holds the plant at x*."""
        control, certain = self.rest
        if control is not None:
            return super().unsettled()
        at = ", ".join(str(value) for value in self.equilibrium)
        if certain:
            for_all = (
                ""
                if self.model.disturbance is None
                else " for every value of the disturbance. Barriers need no equilibrium"
            )
            return f"No u in {self.plant.limits} holds the plant at x* = ({at}): f + g u is not 0 there{for_all}.", True
        words = f"No u in {self.plant.limits} with f + g u = 0 was found at x* = ({at}), as an identity of rationals."
        return f"{words} {ELSEWHERE}", False

    def vanishes(self, name: str, node: int) -> bool:
        """f + g u* is exactly 0 at some d, by the choice of u*: that it is at all others is left to the checker."""
        return super().vanishes(name, node) or (name == "F(x*)" and self.model.disturbance is not None)

    def neighbourhood(self) -> LawNeighbourhood | None:
        """The largest box R of its shape, and a law for it; None if there is none. V must be smooth at x*."""
        control, about, box = self.rest[0], self.about, self.model.box
        if control is None or self.kinked:
            return None
        reach = torch.minimum(about - box.lower, box.upper - about)
        half = shape(self, about, reach) * (2.0 ** (-0.5 * torch.arange(HALVINGS, dtype=torch.float64)))[:, None]
        found: dict[int, Tensor] = {}
        room = _room(self.plant.limits, control)
        for gain in _gains(self, room):
            good = _admissible(self, control, gain, room, half).nonzero().flatten()
            if len(good):
                found.setdefault(int(good[0]), gain)
        if not found:
            return None
        first = min(found)
        return LawNeighbourhood(about - half[first], about + half[first], gain=found[first], control=tuple(control))

    @property
    def sought(self) -> str:
        """What was not found where there is no neighbourhood."""
        if self.kinked:
            return "V has a kink there; of a plant without policy V must be smooth at x*"
        return (
            curvature(self)
            or f"no law u* + K (x - x*) within {self.plant.limits} satisfies every condition on a box around it"
        )

    def refuted(self) -> tuple[str, Tensor] | None:
        """Nothing is refuted near x*: a control may be better there than any law."""
        return None


def resting(
    condition: ExponentialStability, plant: Plant, rate: Fraction, heights: tuple[tuple[int, Fraction], ...]
) -> RestingPlant:
    """The plant with V, about the equilibrium of the condition, at the control that holds it there."""
    model, at = plant.model, equilibrium_of(condition.at, plant.model.box)
    rest = control_at(plant, at)
    still = model.graph.constant(rest[0] or [Fraction(0)] * plant.m)
    value = model.of_state("V", condition.V)
    field = plant.driven(still)
    return RestingPlant(model, value, field, at, rate=rate, plant=plant, rest=rest, barriers=heights)


def _room(limits: Box, control: Sequence[Fraction]) -> Tensor:
    """Distances (m,) of u* from the nearer ends of U."""
    at_rest = torch.tensor([float(value) for value in control], dtype=torch.float64)
    return torch.minimum(at_rest - limits.lower, limits.upper - at_rest).clamp(min=0.0)


def _gains(loop: RestingPlant, room: Tensor) -> list[Tensor]:
    """Matrices K, (m, n), under which the decrease holds to second order at x*, the smallest first."""
    n = loop.model.n
    centre = 0.5 * loop.model.lower[n:] + 0.5 * loop.model.upper[n:]
    values = evaluate(loop.graph, [*loop.hessian, *loop.jacobian, loop.plant.g], torch.cat((loop.about, centre)))
    H, A, B = torch.stack(values[:n]), torch.stack(values[n : 2 * n]), values[-1].unflatten(0, (n, -1))
    W = torch.diag(room.square())
    free, push = H @ A + 0.5 * float(loop.rate or 0) * H, H @ B @ W @ B.T @ H
    if not bool(free.isfinite().all() and push.isfinite().all()):
        return []
    unit = float(free.abs().amax() / push.abs().amax().clamp(min=1e-300))
    scales = [0.0, *(unit * 2.0**j for j in range(-4, 24))]
    falling = [k for k in scales if float(torch.linalg.eigvalsh(0.5 * (free + free.T) - k * push).amax()) < 0]
    return [-k * W @ B.T @ H for k in falling[:GAINS]]


def _admissible(loop: RestingPlant, control: Sequence[Fraction], gain: Tensor, room: Tensor, half: Tensor) -> Tensor:
    """On which of the boxes x* ± half (B, n) the law with this u* and K is in U and satisfies every condition."""
    graph, model, about = loop.graph, loop.model, loop.about
    away = graph.binary("sub", model.state, graph.constant(loop.equilibrium))
    law = graph.binary("add", graph.constant(control), graph.linear(away, gain.numpy()))
    under = Loop(model, loop.value, loop.plant.driven(law), loop.equilibrium, rate=loop.rate)
    lower, upper, least, most = about - half, about + half, model.lower[model.n :], model.upper[model.n :]
    good = (half @ gain.abs().T <= (1 - RESERVE) * room).all(-1)
    margins = [model.rate_of_change(h, under.field, rate) for h, rate in loop.barriers]
    for form in slope_bounds(graph, margins, joined(lower, least), joined(upper, most)) if margins else ():
        good &= form.range.lower[:, 0] > 0
    return good & definite_in_parts(under, lower, upper)
