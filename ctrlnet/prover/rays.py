"""The proof at an equilibrium where V has a kink: all rays from x* at once, by branch and bound over the faces of R.

R is a box around x*, V(x*) = 0 and F(x*, d) = 0 (continuous time) or x* (discrete time) identically. With the
quotients q of V, F and W = (1 - kappa) V(x) - V(F(x, d)) of `quotients`, at x = x* + t δ, t in (0, 1]:

    V(x) = t q_V                                      so that V > 0 on R less x*    if and only if q_V > 0,
    g.F(x, d) + rate V(x) in t (T + rate q_V)         T the tangent of V for the motion q_F, for all g in Clarke's ∂V,
    (1 - kappa) V(x) - V(F(x, d)) = t q_W.

So q_V > 0 and T + rate q_V < 0 (or q_W > 0) for x* + δ on the boundary of R, d in D and t in (0, 1] prove the
statement on R less x*, with no hole: a claim over the 2n faces of R, times D, for one binary tree each. As R shrinks
the parts of V and F that are homogeneous are the same at every size, so that a proof on a small R is as hard as the
limit; a larger R saves boxes elsewhere.

F may depend on further inputs s too, whose box depends on R and is taken as a whole: the matrices of a map
F = x* + s (x - x*), say, of which no more is known than an enclosure over R.

Where V is smooth at x*, ∇V(x*) = 0 and q_V -> 0 with t: there is no such proof, and the one by Hess V is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.graph import Graph, evaluate, gradient, inner_product
from ctrlnet.prover.budget import Budget
from ctrlnet.prover.cover import Cover
from ctrlnet.prover.forest import Forest
from ctrlnet.prover.quotients import Quotients
from ctrlnet.prover.ray_rules import Unsuited
from ctrlnet.prover.slope import slope_bounds

OCTAVES = 20  # sizes of R sampled
DIRECTIONS = 256  # rays sampled for every face
TINY = 2.0**-18  # size of R tried first, of the largest that samples allow: kinks of a network may pass near x*
LARGER = (0.5, 0.25, *(2.0**-k for k in range(4, 18, 2)))  # sizes tried then
ALLOWANCE = 2  # a larger R may cost this many times the boxes of the tiny one

Corners = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class RayNeighbourhood:
    """R = [lower, upper], and the trees of its lower and upper face along every axis, over (face of R) x D."""

    lower: Tensor
    upper: Tensor
    trees: list[list[str]]
    boxes: int = 0


class Claim(NamedTuple):
    """V, F and the margin that must be positive, as nodes of one graph over (x, d, s); a rate or a kappa.

    around: corners of R x D x S, for those of R. axes: how many of its coordinates are those of (x, d).
    """

    graph: Graph
    value: int
    field: int
    margin: int
    about: tuple[Fraction, ...]
    rate: Fraction | None
    kappa: Fraction | None
    around: Callable[[Tensor, Tensor], Corners]
    axes: int

    @property
    def center(self) -> Tensor:
        return torch.tensor([float(value) for value in self.about], dtype=torch.float64)


def ray_claim(
    graph: Graph,
    value: int,
    field: int,
    equilibrium: tuple[Fraction, ...],
    disturbance: Corners | None = None,
    rate: Fraction | None = None,
    kappa: Fraction | None = None,
    further: Callable[[Tensor, Tensor], Corners] | None = None,
) -> Claim:
    """The claim about V and F.

    Args:
        graph: over inputs (x, d, s); `value` is V(x), `field` F(x, d, s), a flow for a `rate`, a map for a `kappa`.
        disturbance: the corners of D; None where there is no d.
        further: the corners of S for those of R, NaN where there is none; None where there is no s.
    """
    none, n = torch.empty(0, dtype=torch.float64), len(equilibrium)
    d = disturbance or (none, none)

    def around(low: Tensor, high: Tensor) -> Corners:
        s = further(low, high) if further else (none, none)
        return torch.cat((low, d[0], s[0])), torch.cat((high, d[1], s[1]))

    return Claim(*_margin(graph, value, field, n, rate, kappa), equilibrium, rate, kappa, around, n + len(d[0]))


def ray_neighbourhood(claim: Claim, box: Corners, budget: Budget | None = None) -> RayNeighbourhood | None:
    """The largest R tried, inside the box, on which the claim is proved along all rays; None if none.

    budget: limits of this search alone.
    """
    half = _largest(claim, *box)
    return None if half is None else _tried(claim, half, box, budget or Budget(seconds=20.0, boxes=400_000))


def _tried(claim: Claim, half: Tensor, box: Corners, budget: Budget) -> RayNeighbourhood | None:
    """First a tiny R, to learn what a proof costs at least; then the largest one that costs little more."""
    started, best, spent = time.perf_counter(), None, 0
    for factor in (TINY, *LARGER):
        boxes = budget.boxes - spent if best is None else min(budget.boxes - spent, ALLOWANCE * best.boxes + 256)
        seconds = budget.seconds - (time.perf_counter() - started)
        if seconds <= 0 or boxes <= 0:
            return best
        found = _proved(claim, half * factor, box, Budget(seconds, boxes))
        if isinstance(found, int):
            if best is None:
                return None
            spent += found
        elif best is None:
            best, spent = found, found.boxes
        else:
            return found
    return best


def _margin(
    given: Graph, value: int, field: int, n: int, rate: Fraction | None, kappa: Fraction | None
) -> tuple[Graph, int, int, int]:
    """A copy of the graph, with V, F and the margin in it."""
    if (rate is None) == (kappa is None):
        raise ValueError("give a rate (continuous time) or a kappa (discrete time), one of them")
    graph = Graph(given.dimension)
    v, f = given.copy_into(graph, [value, field], graph.input)
    rest = graph.take(graph.input, range(n, graph.dimension))
    if rate is not None:
        slope = graph.take(gradient(graph, v), range(n))
        fall = graph.binary("add", inner_product(graph, slope, f), _scaled(graph, rate, v))
        return graph, v, f, graph.unary("neg", fall)
    assert kappa is not None
    following = graph.concatenate([f, rest]) if graph.dimension > n else f
    (after,) = given.copy_into(graph, [value], following)
    return graph, v, f, graph.binary("sub", _scaled(graph, 1 - kappa, v), after)


def _scaled(graph: Graph, factor: Fraction, node: int) -> int:
    return graph.binary("mul", graph.constant([factor]), node)


# ---- where to try: evidence from samples ---------------------------------------------------------------------------


def _largest(claim: Claim, lower: Tensor, upper: Tensor) -> Tensor | None:
    """Half widths of the largest R of its shape on which, and on all smaller ones, the claim holds at samples."""
    generator, reach = torch.Generator().manual_seed(0), torch.minimum(claim.center - lower, upper - claim.center)
    near, directions = 2.0**-20 * reach, _directions(len(reach), generator)
    level = evaluate(claim.graph, [claim.value], _states(claim, near, directions, generator))[0]
    if not bool((level > 0).all()):
        return None
    extent = ((near * directions).abs() / level).amax(0)
    half = extent * (reach / extent).amin()
    directions = _directions(len(reach), generator)
    for step in range(OCTAVES, -1, -1):
        x = _states(claim, 2.0**-step * half, directions, generator)
        v, margin = evaluate(claim.graph, [claim.value, claim.margin], x)
        if not bool(((v > 0) & (margin > 0)).all()):
            return None if step == OCTAVES else 2.0 ** -(step + 1) * half
    return half


def _directions(n: int, generator: torch.Generator) -> Tensor:
    """Points of the boundary of the cube [-1, 1]ⁿ."""
    x = 2 * torch.rand(DIRECTIONS * n, n, generator=generator, dtype=torch.float64) - 1
    axis = torch.arange(len(x)) % n
    x[torch.arange(len(x)), axis] = x[torch.arange(len(x)), axis].sign()
    return x


def _states(claim: Claim, half: Tensor, directions: Tensor, generator: torch.Generator) -> Tensor:
    """Random inputs with x on the boundary of R = x* ± half."""
    lower, upper = claim.around(claim.center - half, claim.center + half)
    share = torch.rand(len(directions), len(lower) - len(half), generator=generator, dtype=torch.float64)
    rest = lower[len(half) :] + (upper - lower)[len(half) :] * share
    return torch.cat((claim.center + half * directions, rest), 1)


# ---- the proof -----------------------------------------------------------------------------------------------------


def _proved(claim: Claim, half: Tensor, box: Corners, budget: Budget) -> RayNeighbourhood | int:
    """The trees for R = x* ± half; or the number of boxes bounded in vain."""
    lower, upper = claim.around(claim.center - half, claim.center + half)
    if not bool((lower <= upper).all()):
        return 1
    if claim.kappa is not None and not _maps_into(claim, lower, upper, box):
        return 1
    try:
        graph, outputs = quotients_of(claim, lower, upper)
    except Unsuited:
        return 1
    cover = Cover(graph, outputs, Forest(*_faces(lower, upper, len(half))), claim.axes, budget)
    if not cover.run():
        return cover.bounded
    trees = [[cover.forest.encode(2 * axis), cover.forest.encode(2 * axis + 1)] for axis in range(len(half))]
    return RayNeighbourhood(lower[: len(half)], upper[: len(half)], trees, cover.bounded)


def _maps_into(claim: Claim, lower: Tensor, upper: Tensor, box: Corners) -> bool:
    """F(R x D) lies in the box."""
    (after,) = slope_bounds(claim.graph, [claim.field], lower[None], upper[None])
    return bool((after.range.lower >= box[0]).all() and (after.range.upper <= box[1]).all())


def quotients_of(claim: Claim, lower: Tensor, upper: Tensor) -> tuple[Graph, list[int]]:
    """The graph of q_V and of the margin's quotient, both to be positive."""
    rays = Quotients(claim.about, lower, upper)
    (field,) = rays.along(claim.graph, [claim.field])
    resting = rays.graph.constant(claim.about if claim.rate is None else [0] * len(claim.about))
    if claim.rate is not None:
        (value,) = rays.along(claim.graph, [claim.value], motion=field.quotient)
        fall = rays.graph.binary("add", value.tangent, _scaled(rays.graph, claim.rate, value.quotient))
        margin, vanishing = rays.graph.unary("neg", fall), value.base
    else:
        value, decrease = rays.along(claim.graph, [claim.value, claim.margin])
        margin, vanishing = decrease.quotient, decrease.base
    zero = rays.graph.constant([0])
    if field.base != resting or value.base != zero or vanishing != zero:
        raise Unsuited("F or V does not vanish identically at the equilibrium")
    return rays.graph, [value.quotient, margin]


def _faces(lower: Tensor, upper: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The faces of R times D, lower and upper along axis 0, then along axis 1, and so on."""
    lows, highs = lower.repeat(2 * n, 1), upper.repeat(2 * n, 1)
    for axis in range(n):
        highs[2 * axis, axis], lows[2 * axis + 1, axis] = lower[axis], upper[axis]
    return lows, highs
