"""Existence: for every state some admissible control satisfies all conditions, of a plant x' = f(x) + g(x) u.

Theorem sought, with S = {x in X : V(x) <= level, every h >= 0}: S lies in the interior of X, and for every x in S but
x* there is one u in U with V > 0, ∇V·(f + g u) + rate V < 0 and ∇h·(f + g u) + rate h > 0 for every h. All of these are
strict, so they hold nearby with the same u, and they are convex in u: controls that are good near single states,
blended by a partition of unity, are a locally Lipschitz feedback that satisfies them everywhere (Artstein,
Stabilization with relaxed controls, Nonlinear Analysis 7, 1983). Under it S is invariant and V falls at the rate.

The search bounds the margins over x with a constant u on each box, chosen for it (see `controls`): a graph over (x, u)
whose second part is degenerate. Near x* a law takes the place of a constant (see `resting`).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Over (x, u), with u chosen box by box; the margins as functions of u, nodes of the model's graph."""

    plant: Plant
    conditions: tuple[Affine, ...]

    def violated(self, goal: Goal, x: Tensor, level: float | None) -> bool:
        """Certainly x is in the set and no u in U at all satisfies the conditions there, or V is not positive."""
        inputs = torch.cat((x, self.plant.limits.center))
        if not goal.margins or impossible(self.plant.model.graph, self.conditions, self.plant.limits, x):
            return self.certain(goal, (), inputs, level)
        return self.value is not None and self.certain(goal, (self.value,), inputs, level)


def admissible_control(conditions: Sequence[Any], system: System, box: Box, level: Any) -> ExistenceClaim:
    """For every state of {V <= level, every h >= 0} but x* one u in the system's limits satisfies every condition.

    Args:
        conditions: `BarrierInvariance`, any number of them, with at most one `ExponentialStability`.
        system: the plant, with limits.
        level: of V, where there is one; None for the largest that is found.
    """
    decrease, barriers = _sorted(conditions)
    limits = _limits(system, box)
    model = Model(box)
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
        f"at each of its states{'' if loop is None else ' but the equilibrium'}."
    )
    problem, name = _problem(plant, demands, loop), None if loop is None else "level"
    return ExistenceClaim("admissible_control", words, model, problem, numbers, name, level, loop=loop)


def _problem(plant: Plant, demands: Sequence[Demand], loop: RestingPlant | None) -> ControlProblem:
    """Every margin positive with the box's u, where every h >= 0 and V is below the level; the faces excluded."""
    model, n, limits = plant.model, plant.model.n, plant.limits
    graph, affine = Graph(n + plant.m), tuple(Affine.of(plant, *demand) for demand in demands)
    x, u = graph.take(graph.input, range(n)), graph.take(graph.input, range(n, n + plant.m))
    f, g = model.graph.copy_into(graph, [plant.f, plant.g], x)
    field = driven(graph, f, g, u)
    margins, values = [], []
    for value, rate, sign in demands:
        (v,) = model.graph.copy_into(graph, [value], x)
        change = graph.binary("mul", graph.constant([sign * rate]), v)
        moved = along(graph, v, field)
        margins.append(graph.binary("add", moved if sign > 0 else graph.unary("neg", moved), change))
        values.append(v)
    levelled = loop is not None
    where = tuple(graph.unary("neg", v) for v in values[levelled:])
    goals = [Goal("interior", model.lower, model.upper, (*margins, *values[:levelled]), where, levelled, levelled)]
    for face, low, high in faces(model.lower, model.upper, n):
        goals.append(Goal("faces", low, high, (), where, levelled, face=face))

    def extend(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        control = chosen(model.graph, affine, limits, lower, upper)
        return torch.cat((lower, control), -1), torch.cat((upper, control), -1)

    about = None if loop is None else loop.about
    return ControlProblem(
        graph, tuple(goals), values[0] if levelled else None, about, extend, plant=plant, conditions=affine
    )  # fmt: skip


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
