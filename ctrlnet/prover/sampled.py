"""Exponential stability under a zero-order hold: the loop x' = f(x, u), u = π(x(kT)) held for a period T.

Theorem sought, for S = {x in X : V(x) <= level} and q = 1 - rate T: every solution from S exists for all t >= 0 and
stays in X, V(x(kT)) <= qᵏ V(x(0)), and x(t) converges to x*.

On a box B of x(0), `flow` gives a box Z of all x(t), 0 <= t <= T, and a box W such that
    x(T) = x + T f(x, π(x)) + ... + Tᵖ/p! w,   w in W.
So a search over x alone bounds a graph over (x, w, room): W, and room > 0 where Z lies in X, are computed for
each box. Margins: q V(x) - V(x + T f(x, π(x)) + ... + Tᵖ/p! w), V(x), room. Where no Z is found, w is undefined.

Near x*, with d = x - x*: x(t) - x* = M(t) d with M in every matrix interval that holds I + [0, T](A M + C),
A in [∂f/∂x(Z, U)], C in [∂f/∂u(Z, U)][∂π(R)], for R the box around x*, and so, N = A M + C,
    x(T) - x* = Ψ d,   Ψ = I + T (A + C) + (T²/2) A (A + C) + ... + (Tᵏ/k!) Aᵏ⁻¹ N,
    q V(x) - V(x(T)) = dᵀ(q H - ΨᵀH₃Ψ) d / 2,   H in [Hess V(R)], H₃ in [Hess V(Z)],
which is positive where H and q H - ΨᵀH₃Ψ are positive definite. The checker's flow.py has the proofs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ctrlnet.conditions import ExponentialStability
from ctrlnet.errors import UsageError
from ctrlnet.graph import Graph, jacobian, trace
from ctrlnet.prover.certificate import number
from ctrlnet.prover.claims import Claim, equilibrium_of, positive_level
from ctrlnet.prover.equilibrium import (
    HALVINGS,
    Neighbourhood,
    added,
    positive_definite,
    scaled,
    shape,
    stacked,
    transposed_product,
)
from ctrlnet.prover.flow import Flow, flow
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.model import STATES, Model
from ctrlnet.prover.rounding import TINY
from ctrlnet.prover.slope import slope_bounds
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop

TERMS = 4  # powers of A in Ψ


@dataclass(frozen=True, kw_only=True)
class SampledLoop(Loop):
    """The loop with its hold; `field` is f(x, π(x)), `policy` is π, both nodes of the model's graph."""

    flow: Flow
    policy: int

    @property
    def kinked(self) -> bool:
        """Kinks of V at x* have no proof by rays here."""
        return False

    @property
    def shrinkage(self) -> Fraction:
        """q."""
        assert self.rate is not None
        return 1 - self.rate * self.flow.period

    def extend(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of (x, w, room) over boxes (B, n) of x; NaN where no box of the solutions is found."""
        (control,) = slope_bounds(self.graph, [self.policy], lower, upper)
        hull, found = self.flow.sweep(Interval(lower, upper), control.range)
        w = self.flow.remainder(hull, control.range)
        box = self.model.box
        room = torch.minimum(hull.lower - box.lower, box.upper - hull.upper).amin(-1, keepdim=True)
        room = torch.where(room >= 0, room + TINY, room)  # Z may touch the boundary; differences have the right sign
        low, high = torch.cat((w.lower, room), -1), torch.cat((w.upper, room), -1)
        low, high = (torch.where(found[:, None], bound, torch.nan) for bound in (low, high))
        return torch.cat((lower, low), -1), torch.cat((upper, high), -1)

    @cached_property
    def parts(self) -> tuple[list[int], list[int]]:
        """The rows of ∂f/∂(x, u) in the flow's graph, and of ∂π in the model's."""
        return jacobian(self.flow.graph, self.flow.derivatives[0]), jacobian(self.graph, self.policy)

    def neighbourhood(self) -> Neighbourhood | None:
        """The largest R of its shape, inside the box, on which the matrix inequalities hold; None if none does."""
        about, box = self.about, self.model.box
        reach = torch.minimum(about - box.lower, box.upper - about)
        half = shape(self, about, reach) * (2.0 ** (-0.5 * torch.arange(HALVINGS, dtype=torch.float64)))[:, None]
        low, high = about - half, about + half
        good = definite(self, low, high).nonzero().flatten()
        return Neighbourhood(low[good[0]], high[good[0]]) if len(good) else None

    def refuted(self) -> tuple[str, Tensor] | None:
        """Nothing is refuted near x* here."""
        return None


def sampled_stability(condition: ExponentialStability, system: ClosedLoop, box: Box, level: Any) -> Claim:
    """V > 0, V(x(T)) < (1 - rate T) V(x) and x(t) in the box, on {V <= level} less x*, for the loop's period T."""
    level, rate, at = positive_level(level), Fraction(condition.rate), equilibrium_of(condition.at, box)
    loop = sampled_loop(condition, system, box, rate, at)
    graph, value, margin = _graph(loop)
    room = graph.take(graph.input, [graph.dimension - 1])
    goal = Goal("interior", box.lower, box.upper, (margin, value, room), levelled=True, local=True)
    period = loop.flow.period
    words = (
        f"V falls by the share {float(rate * period):g} in every period of {float(period):g} s, the control held, on "
        f"{{V <= {'level' if level is None else f'{level:g}'}}} inside {box}."
    )
    numbers = {"equilibrium": [number(entry) for entry in at], "period": number(period), "rate": number(rate)}
    problem = Problem(graph, (goal,), value, loop.about, loop.extend)
    return Claim("sampled_stability", words, loop.model, problem, numbers, level_name="level", level=level, loop=loop)


def sampled_loop(
    condition: ExponentialStability, system: ClosedLoop, box: Box, rate: Fraction, at: tuple[Fraction, ...]
) -> SampledLoop:
    """Trace V, the plant and the policy; errors: UsageError for a loop without period, or one that is too long."""
    if not isinstance(system, ClosedLoop) or system.period is None:
        raise UsageError(f"A zero-order hold has a period; got {system!r}. Give ClosedLoop(plant, policy, period).")
    period = Fraction(system.period)
    if not rate * period < 1:
        raise UsageError(
            f"rate is {float(rate):g} and the period {float(period):g}: V cannot lose {float(rate * period):g} of "
            "itself in a period. Give a smaller rate; rate times period must be below 1."
        )
    model, n, m = Model(box), system.plant.n, system.plant.m
    states = box.sample(STATES, torch.Generator().manual_seed(0))
    value = model.of_state("V", condition.V)
    model.originals["policy"] = traced, output = trace(system.policy, n, states, (m,), "the policy")
    (policy,) = traced.copy_into(model.graph, [output], model.state)
    plant = _plant(system, states)
    model.originals["f"] = plant
    (field,) = plant[0].copy_into(model.graph, [plant[1]], model.graph.concatenate([model.state, policy]))
    return SampledLoop(model, value, field, at, rate=rate, flow=flow(*plant, n, period), policy=policy)


def _plant(system: ClosedLoop, states: Tensor) -> tuple[Graph, int]:
    """f(x) + g(x) u as a node of a graph over (x, u)."""
    n, m = system.plant.n, system.plant.m
    graph = Graph(n + m)
    x, u = graph.take(graph.input, range(n)), graph.take(graph.input, range(n, n + m))
    drift, drift_node = trace(system.plant.f, n, states, (n,), "the drift f")
    matrix, matrix_node = trace(system.plant.g, n, states, (n, m), "the input matrix g")
    (f,), (g,) = drift.copy_into(graph, [drift_node], x), matrix.copy_into(graph, [matrix_node], x)
    pushes = graph.binary("mul", g, graph.take(u, [j for _ in range(n) for j in range(m)]))
    return graph, graph.binary("add", f, graph.sum(pushes, n))


def _graph(loop: SampledLoop) -> tuple[Graph, int, int]:
    """The graph over (x, w, room), V and the margin q V(x) - V(x(T))."""
    n, held = loop.model.n, loop.flow
    graph = Graph(2 * n + 1)
    x, w = graph.take(graph.input, range(n)), graph.take(graph.input, range(n, 2 * n))
    value, policy = loop.graph.copy_into(graph, [loop.value, loop.policy], x)
    known = held.graph.copy_into(graph, held.derivatives[:-1], graph.concatenate([x, policy]))
    after = x
    for k, derivative in enumerate([*known, w], 1):
        step = graph.binary("mul", graph.constant([held.coefficient(k)] * n), derivative)
        after = graph.binary("add", after, step)
    (later,) = loop.graph.copy_into(graph, [loop.value], after)
    return graph, value, graph.binary("sub", graph.binary("mul", graph.constant([loop.shrinkage]), value), later)


def definite(loop: SampledLoop, lower: Tensor, upper: Tensor) -> Tensor:
    """Which of the boxes (B, n) satisfy both matrix inequalities, and keep their solutions inside the box."""
    (control,) = interval_bounds(loop.graph, [loop.policy], lower, upper)
    hull, found = loop.flow.sweep(Interval(lower, upper), control)
    box = loop.model.box
    inside = ((hull.lower > box.lower) & (hull.upper < box.upper)).all(-1)
    H = stacked(interval_bounds(loop.graph, loop.hessian, lower, upper))
    H3 = stacked(interval_bounds(loop.graph, loop.hessian, *hull))
    slopes = _slopes(loop, lower, upper, hull, control)
    after = transposed_product(slopes, transposed_product(H3, slopes))
    decrease = added(scaled(H, float(loop.shrinkage)), Interval(-after.upper, -after.lower))
    return found & inside & positive_definite(H) & positive_definite(decrease)


def _slopes(loop: SampledLoop, lower: Tensor, upper: Tensor, hull: Interval, control: Interval) -> Interval:
    """[Ψ] over boxes, (B, n, n), to a rounding: the checker decides."""
    n, T, (plant_rows, policy_rows) = loop.model.n, float(loop.flow.period), loop.parts
    inputs = (torch.cat(pair, -1) for pair in zip(hull, control, strict=True))
    whole = stacked(interval_bounds(loop.flow.graph, plant_rows, *inputs))
    gain = stacked(interval_bounds(loop.graph, policy_rows, lower, upper))
    A = Interval(whole.lower[:, :, :n], whole.upper[:, :, :n])
    C = _product(Interval(whole.lower[:, :, n:], whole.upper[:, :, n:]), gain)
    unit = torch.eye(n, dtype=torch.float64).expand_as(A.lower)
    M = Interval(unit, unit)
    for _ in range(4 * TERMS):  # from inside, to where it hardly grows any more
        N = added(_product(A, M), C)
        M = Interval(unit + T * N.lower.clamp(max=0.0), unit + T * N.upper.clamp(min=0.0))
    series = added(_product(A, M), C)
    for k in range(TERMS, 0, -1):
        series = added(added(A, C), scaled(_product(A, series), T / (k + 1)))
    return Interval(unit + T * series.lower, unit + T * series.upper)


def _product(a: Interval, b: Interval) -> Interval:
    return transposed_product(Interval(a.lower.mT, a.upper.mT), b)
