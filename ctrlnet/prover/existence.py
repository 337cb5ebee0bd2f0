"""Existence: for every state some admissible control satisfies all conditions, of a plant x' = f(x, d) + g(x, d) u.

Theorem sought, with S = {x in X : V(x) <= level, every h >= 0}: S lies in the interior of X, and for every x in S but
x* there is one u in U with V > 0, ∇V·(f + g u) + rate V < 0 and ∇h·(f + g u) + rate h > 0 for every h, and, where there
is a disturbance, for every d in D. All of these are strict and D is compact, so they hold nearby with the same u, and
they are convex in u: controls that are good near single states, blended by a partition of unity, are a locally
Lipschitz feedback that satisfies them everywhere (Artstein, Stabilization with relaxed controls, Nonlinear Analysis 7,
1983). Under it S is invariant and V falls at the rate, whatever d(t) does.

The search bounds the margins over x with a constant u on each box, chosen for it (see `controls`): a graph over (x, u,
e) whose second part is degenerate, and whose third is the unit cube for all boxes alike: d = c + r ∘ e in each of a few
parts of D (see `disturbances`). Near x* a law takes the place of a constant (see `resting`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ctrlnet.conditions import BarrierInvariance, ExponentialStability
from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.graph import Graph
from ctrlnet.prover.certificate import Json, corners, number
from ctrlnet.prover.claims import Claim, no_level, positive_level
from ctrlnet.prover.controls import Affine, Demand, Plant, chosen, driven, impossible
from ctrlnet.prover.disturbances import joined, parts, shares, values
from ctrlnet.prover.goals import Goal, Problem, faces
from ctrlnet.prover.model import Model, along
from ctrlnet.prover.resting import RestingPlant, resting
from ctrlnet.sets import Box
from ctrlnet.systems import System


@dataclass(frozen=True)
class ExistenceClaim(Claim):
    """`numbers` holds the controls and the conditions; the level belongs to the first of these."""

    def document(self, level: float | None) -> Json:
        said = super().document(level)
        found = said["statement"].pop("level", None)
        if found is not None:
            first, *others = said["statement"]["conditions"]
            said["statement"]["conditions"] = [{**first, "level": found}, *others]
        return said


@dataclass(frozen=True, kw_only=True)
class ControlProblem(Problem):
    """Over (x, u, e), with u chosen box by box; the margins as functions of u, nodes of the model's graph."""

    plant: Plant
    conditions: tuple[Affine, ...]

    def probes(self, x: Tensor) -> Tensor:
        """Corners and centre of the parts of D, with the control chosen for all of it."""
        assert self.extend is not None
        lower, upper = self.extend(x, x)
        weights = shares(lower.shape[1] - x.shape[1] - self.plant.m)
        fixed = torch.zeros(len(weights), x.shape[1] + self.plant.m, dtype=torch.float64)
        return lower + torch.cat((fixed, weights), -1)[:, None] * (upper - lower)

    def violated(self, goal: Goal, x: Tensor, level: float | None) -> bool:
        """Certainly x is in the set and no u in U at all satisfies the conditions there, or V is not positive."""
        model, limits = self.plant.model, self.plant.limits
        disturbances = values(model)
        states = torch.cat((x.expand(len(disturbances), -1), disturbances), -1)
        inputs = torch.cat((x, limits.center, torch.zeros_like(disturbances[0])))
        if not goal.margins or impossible(model.graph, self.conditions, limits, states):
            return self.certain(goal, (), inputs, level)
        return self.value is not None and self.certain(goal, (self.value,), inputs, level)


def admissible_control(conditions: Sequence[Any], system: System, box: Box, level: Any) -> ExistenceClaim:
    """For every state of {V <= level, every h >= 0} but x* one u in the system's limits satisfies every condition.

    One u for every disturbance, where the system has one.

    Args:
        conditions: `BarrierInvariance`, any number of them, with at most one `ExponentialStability`.
        system: the plant, with limits.
        level: of V, where there is one; None for the largest that is found.
    """
    decrease, barriers = _sorted(conditions)
    limits = _limits(system, box)
    model = Model(box, system.disturbance)
    plant = Plant(model, system, limits)
    heights = tuple((model.of_state(f"h{i}", one.h), Fraction(one.rate)) for i, one in enumerate(barriers))
    demands = [Demand(h, rate, 1) for h, rate in heights]
    said: list[Json] = [{"type": "barrier", "rate": number(rate)} for _, rate in heights]
    loop = None
    if decrease is None:
        no_level(level, barriers[0])
    else:
        level, rate = positive_level(level), Fraction(decrease.rate)
        loop = resting(decrease, plant, rate, heights)
        demands.insert(0, Demand(loop.value, rate, -1))
        at = [number(entry) for entry in loop.equilibrium]
        said.insert(0, {"type": "decrease", "equilibrium": at, "rate": number(rate)})
    numbers = {"controls": corners(limits.lower, limits.upper), "conditions": said}
    words = (
        f"S = {{x : {_set(loop, level, heights)}}} lies inside {box}, and some u in {limits} satisfies every condition "
        f"at each of its states{'' if loop is None else ' but the equilibrium'}"
        f"{'' if model.disturbance is None else f', for every disturbance in {model.disturbance}'}."
    )
    problem, name = _problem(plant, demands, loop), None if loop is None else "level"
    return ExistenceClaim("admissible_control", words, model, problem, numbers, name, level, loop=loop)


def _problem(plant: Plant, demands: Sequence[Demand], loop: RestingPlant | None) -> ControlProblem:
    """Every margin positive with the box's u, where every h >= 0 and V is below the level; the faces excluded."""
    model, n, m, limits, box = plant.model, plant.model.n, plant.m, plant.limits, plant.model.box
    graph, affine = Graph(model.graph.dimension + m), tuple(Affine.of(plant, *demand) for demand in demands)
    pieces, unit = parts(model, (plant.f, plant.g)), graph.take(graph.input, range(n + m, graph.dimension))
    margins = [margin for part in pieces for margin in _margins(plant, demands, graph, part.node(graph, unit))]
    heights = [_value(plant, demand, graph, unit) for demand in demands]
    levelled = loop is not None
    where = tuple(graph.unary("neg", v) for v in heights[levelled:])
    goals = [Goal("interior", box.lower, box.upper, (*margins, *heights[:levelled]), where, levelled, levelled)]
    for face, low, high in faces(box.lower, box.upper, n):
        goals.append(Goal("faces", low, high, (), where, levelled, face=face))
    cube = torch.ones(graph.size(unit), dtype=torch.float64)

    def extend(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        control = chosen(model.graph, affine, limits, lower, upper, pieces)
        return joined(torch.cat((lower, control), -1), -cube), joined(torch.cat((upper, control), -1), cube)

    about = None if loop is None else loop.about
    return ControlProblem(
        graph, tuple(goals), heights[0] if levelled else None, about, extend, plant=plant, conditions=affine
    )  # fmt: skip


def _margins(plant: Plant, demands: Sequence[Demand], graph: Graph, d: int) -> Iterator[int]:
    """Of each demand ± (∇v·(f + g u) + rate v), in a graph over (x, u, e) at the node d of the disturbance."""
    n, m = plant.model.n, plant.m
    x, u = graph.take(graph.input, range(n)), graph.take(graph.input, range(n, n + m))
    f, g = plant.model.graph.copy_into(graph, [plant.f, plant.g], graph.concatenate([x, d]))
    field = driven(graph, f, g, u)
    for demand in demands:
        v = _value(plant, demand, graph, d)
        moved = along(graph, v, field)
        change = graph.binary("mul", graph.constant([demand.sign * demand.rate]), v)
        yield graph.binary("add", moved if demand.sign > 0 else graph.unary("neg", moved), change)


def _value(plant: Plant, demand: Demand, graph: Graph, d: int) -> int:
    """The function of a demand, which is one of x whatever d is."""
    x = graph.take(graph.input, range(plant.model.n))
    return plant.model.graph.copy_into(graph, [demand.value], graph.concatenate([x, d]))[0]


def _sorted(conditions: Sequence[Any]) -> tuple[ExponentialStability | None, list[BarrierInvariance]]:
    """The condition on V, if there is one, and the barriers."""
    falling = [one for one in conditions if isinstance(one, ExponentialStability)]
    barriers = [one for one in conditions if isinstance(one, BarrierInvariance)]
    if len(falling) + len(barriers) < len(conditions) or len(falling) > 1 or not conditions:
        names = ", ".join(type(one).__name__ for one in conditions) or "none"
        raise UsageError(
            f"Of a plant without policy certify proves BarrierInvariance, any number, with at most one "
            f"ExponentialStability; got {names}. Close the loop with ClosedLoop(plant, policy) for other conditions."
        )
    return falling[0] if falling else None, barriers


def _limits(system: System, box: Box) -> Box:
    if system.limits is None:
        raise UsageError(
            "The plant has no limits; its admissible controls are a box. Give System(..., limits=Box(...))."
        )
    if box.dimension != system.n:
        raise ShapeError(f"The box has {box.dimension} axes and the state {system.n} coordinates; give one axis each.")
    return system.limits


def _set(loop: RestingPlant | None, level: float | None, heights: Sequence[object]) -> str:
    parts = [] if loop is None else [f"V <= {'level' if level is None else f'{level:g}'}"]
    return ", ".join([*parts, *(f"h{i} >= 0" for i in range(len(heights)))])
