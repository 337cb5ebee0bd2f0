"""Exponential stability under a zero-order hold: the loop x' = f(x, u), u = π(x(kT)) held for a period T.

Theorem sought, for S = {x in X : V(x) <= level} and q = 1 - rate T: every solution from S exists for all t >= 0 and
stays in X, V(x(kT)) <= qᵏ V(x(0)), and x(t) converges to x*. With a disturbance x' = f(x, u, d(t)), for every
measurable d(t) in a box D, where f(x*, π(x*), d) = 0 for all d.

On a box B of x(0), `flow` gives a box Z of all x(t), 0 <= t <= T, and a box W such that
    x(T) = x + T f(x, π(x)) + ... + Tᵖ/p! w,   w in W,
and `disturbed_flow` something alike, with the mean m of d(t) over the period. So a search over x alone bounds a graph
over (x, m, w, room): m in D, W, and room > 0 where Z lies in X, are computed for each box. Margins: q V(x) - V(x(T)),
V(x), room. Where no Z is found, w is undefined. (A tree over x and m would do too, but parts of D gain little: W is for
all d(t) in D, and x(T) is affine in m.)

Near x*, with d = x - x*: x(t) - x* = M(t) d with M in every matrix interval that holds I + [0, T](A M + C),
A in [∂f/∂x(Z, U)], C in [∂f/∂u(Z, U)][∂π(R)], for R the box around x* (over D too), and so, N = A M + C,
    x(T) - x* = Ψ d,   Ψ = I + T (A + C) + (T²/2) A (A + C) + ... + (Tᵏ/k!) Aᵏ⁻¹ N,
    q V(x) - V(x(T)) = dᵀ(q H - ΨᵀH₃Ψ) d / 2,   H in [Hess V(R)], H₃ in [Hess V(Z)],
which is positive where H and q H - ΨᵀH₃Ψ are positive definite. Where V has a kink at x*, sampled_rays.py has another
proof. The checker's flow.py and held.py have the theorems.
"""

from __future__ import annotations

from collections.abc import Callable
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
from ctrlnet.prover.disturbances import values
from ctrlnet.prover.disturbed_flow import disturbed_flow
from ctrlnet.prover.equilibrium import Neighbourhood
from ctrlnet.prover.flow import Flow, flow
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.interval import Interval
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.model import STATES, Model
from ctrlnet.prover.rounding import TINY
from ctrlnet.prover.sampled_equilibrium import sampled_neighbourhood
from ctrlnet.prover.sampled_rays import sampled_rays
from ctrlnet.prover.slope import slope_bounds
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop


@dataclass(frozen=True, kw_only=True)
class SampledLoop(Loop):
    """The loop with its hold; `field` is f(x, π(x)), `policy` is π, both nodes of the model's graph."""

    flow: Flow
    policy: int

    @property
    def shrinkage(self) -> Fraction:
        """q."""
        assert self.rate is not None
        return 1 - self.rate * self.flow.period

    def extend(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of (x, m, w, room) over boxes (B, n) of x; NaN where no box of the solutions is found."""
        start, whole = Interval(lower, upper), self.whole(lower, upper)
        (control,) = slope_bounds(self.graph, [self.policy], *whole)
        hull, found = self.flow.sweep(start, control.range)
        w = self.flow.remainder(start, hull, control.range)
        box = self.model.box
        room = torch.minimum(hull.lower - box.lower, box.upper - hull.upper).amin(-1, keepdim=True)
        room = torch.where(room >= 0, room + TINY, room)  # Z may touch the boundary; differences have the right sign
        low, high = torch.cat((w.lower, room), -1), torch.cat((w.upper, room), -1)
        low, high = (torch.where(found[:, None], bound, torch.nan) for bound in (low, high))
        return torch.cat((whole[0], low), -1), torch.cat((whole[1], high), -1)

    def whole(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds (B, n) of x with those of d, which V and π do not read."""
        ends = zip((lower, upper), (self.model.lower, self.model.upper), strict=True)
        return tuple(torch.cat((x, z[self.model.n :].expand(len(x), -1)), -1) for x, z in ends)  # type: ignore[return-value]

    @cached_property
    def parts(self) -> tuple[list[int], list[int]]:
        """The rows of ∂f/∂(x, u) in the flow's graph, and of ∂π in the model's."""
        return jacobian(self.flow.graph, self.flow.field), jacobian(self.graph, self.policy)

    def neighbourhood(self) -> Neighbourhood | None:
        """The largest R of its shape on which the matrix inequalities hold, or of those tried by rays; None if none."""
        return sampled_rays(self) if self.kinked else sampled_neighbourhood(self)

    @property
    def _moved(self) -> str:
        """There is no other statement for a disturbance that moves x*."""
        return (
            f"depends on the disturbance at x* = ({', '.join(map(str, self.equilibrium))}), which then is no "
            "equilibrium of the held loop. Write what is disturbed so that it cancels there; of a loop with a period "
            "nothing weaker than stability is proved."
        )

    def refuted(self) -> tuple[str, Tensor] | None:
        """Nothing is refuted near x* here."""
        return None


@dataclass(frozen=True, kw_only=True)
class HeldProblem(Problem):
    """Over (x, m, w, room); `means` (S, k) of d(t) are tried at every state, as those of constant disturbances."""

    means: Tensor

    def probes(self, x: Tensor) -> Tensor:
        """The middle of what is computed for a state, at each of the means."""
        inputs, (S, k), n = super().probes(x), self.means.shape, x.shape[1]
        means = self.means[:, None].expand(-1, len(x), -1)
        return torch.cat((inputs[..., :n].expand(S, -1, -1), means, inputs[..., n + k :].expand(S, -1, -1)), -1)


def sampled_stability(condition: ExponentialStability, system: ClosedLoop, box: Box, level: Any) -> Claim:
    """V > 0, V(x(T)) < (1 - rate T) V(x) and x(t) in the box, on {V <= level} less x*, for the loop's period T."""
    level, rate, at = positive_level(level), Fraction(condition.rate), equilibrium_of(condition.at, box)
    loop = sampled_loop(condition, system, box, rate, at)
    graph, value, margin = _graph(loop)
    room = graph.take(graph.input, [graph.dimension - 1])
    goal = Goal("interior", box.lower, box.upper, (margin, value, room), levelled=True, local=True)
    period, D = loop.flow.period, loop.model.disturbance
    words = (
        f"V falls by the share {float(rate * period):g} in every period of {float(period):g} s, the control held, on "
        f"{{V <= {'level' if level is None else f'{level:g}'}}} inside {box}"
        f"{'' if D is None else f', for every measurable d(t) in {D}'}."
    )
    numbers = {"equilibrium": [number(entry) for entry in at], "period": number(period), "rate": number(rate)}
    problem = HeldProblem(graph, (goal,), value, loop.about, loop.extend, means=values(loop.model))
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
    D, n, m = system.disturbance, system.plant.n, system.plant.m
    model, states = Model(box, D), box.sample(STATES, torch.Generator().manual_seed(0))
    value = model.of_state("V", condition.V)
    model.originals["policy"] = traced, output = trace(system.policy, n, states, (m,), "the policy")
    (policy,) = traced.copy_into(model.graph, [output], model.state)
    plant, f = model.originals["f"] = _plant(system, model)
    x, d = model.state, model.graph.take(model.graph.input, range(n, model.graph.dimension))
    (field,) = plant.copy_into(model.graph, [f], model.graph.concatenate([x, policy, d]))
    held = flow(plant, f, n, period) if D is None else disturbed_flow(plant, f, n, m, D, period)
    return SampledLoop(model, value, field, at, rate=rate, flow=held, policy=policy)


def _plant(system: ClosedLoop, model: Model) -> tuple[Graph, int]:
    """f + g u as a node of a graph over (x, u, d)."""
    n, m = system.plant.n, system.plant.m
    graph = Graph(n + m + len(model.lower) - n)
    z = graph.take(graph.input, [*range(n), *range(n + m, graph.dimension)])
    u = graph.take(graph.input, range(n, n + m))
    states = Box(model.lower, model.upper).sample(STATES, torch.Generator().manual_seed(0))
    given = ((system.plant.f, (n,), "the drift f"), (system.plant.g, (n, m), "the input matrix g"))
    f, g = (_traced(function, model, states, tail, name, graph, z) for function, tail, name in given)
    pushes = graph.binary("mul", g, graph.take(u, [j for _ in range(n) for j in range(m)]))
    return graph, graph.binary("add", f, graph.sum(pushes, n))


def _traced(
    function: Callable[..., Tensor],
    model: Model,
    states: Tensor,
    tail: tuple[int, ...],
    name: str,
    graph: Graph,
    z: int,
) -> int:
    """The node of a function of x, or of x and d, in a graph with the node z of both."""
    n = model.n
    of_both = function if model.disturbance is None else lambda z: function(z[..., :n], z[..., n:])
    traced, output = trace(of_both, len(model.lower), states, tail, name)
    return traced.copy_into(graph, [output], z)[0]


def _graph(loop: SampledLoop) -> tuple[Graph, int, int]:
    """The graph over (x, m, w, room), V and the margin q V(x) - V(x(T))."""
    n, N = loop.model.n, loop.graph.dimension
    graph = Graph(N + n + 1)
    x, mean, w = (graph.take(graph.input, range(*ends)) for ends in ((0, n), (n, N), (N, N + n)))
    value, policy = loop.graph.copy_into(graph, [loop.value, loop.policy], graph.concatenate([x, mean]))
    after = loop.flow.after(graph, x, policy, mean, w)
    (later,) = loop.graph.copy_into(graph, [loop.value], graph.concatenate([after, mean]))
    return graph, value, graph.binary("sub", graph.binary("mul", graph.constant([loop.shrinkage]), value), later)
