"""Control-affine plants x' = f(x, d) + g(x, d) u, u in a box U, and the choice of one u for each of many boxes of x.

A margin of a condition is affine in u: a(z) + b(z)·u, z = (x, d), with a = -(∇V·f + rate V), b = -∇V·g for a function V
that falls, and a = ∇h·f + rate h, b = ∇h·g for a barrier. Over a box with midpoint p and half widths r it is to first
order at least
    a(p) + b(p)·u - Σᵢ rᵢ |∂ᵢa(p) + ∂ᵢb(p)·u|,
concave in u. `chosen` maximises the least of these over the conditions, each relative to its size, and over the parts
of the disturbance's box D: one u is for all d. Any u in U will do for a proof: the search bounds the margins with it
afterwards, and the checker chooses its own.

At a single state, for finitely many d, no u in U makes all margins positive if and only if for some weights λ_k >= 0,
not all zero, k counting the margins at all these d,
    Σ λ_k a_k + Σ_j max(β_j l_j, β_j u_j) <= 0,   β = Σ λ_k b_k,   U = [l, u],
the left side being the largest Σ λ_k (a_k + b_k·u). "If" is plain; "only if" is the theorem of alternatives
(Rockafellar, Convex Analysis, Thm 21.1). The weights are searched for, the sign of the left side is then certain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.graph import Graph, evaluate, gradient, jacobian
from ctrlnet.prover.disturbances import Part, joined
from ctrlnet.prover.model import Model
from ctrlnet.prover.points import upper_bounds
from ctrlnet.sets import Box
from ctrlnet.systems import System

HALVINGS = 12
CHUNK = 4096
PAIRED = 12  # controls at most that are stepped two at a time: there are 2 m (m - 1) pairs


class Plant:
    """f and g of a system, traced; `f` (size n) and `g` (size n m, by rows) are nodes of the model's graph."""

    def __init__(self, model: Model, system: System, limits: Box):
        self.model, self.limits, self.m = model, limits, system.m
        self.f = model.of_inputs("f", system.f, (system.n,), "the drift f")
        self.g = model.of_inputs("g", system.g, (system.n, system.m), "the input matrix g")

    def driven(self, control: int) -> int:
        """The node of f + g u, for a node u of size m in the model's graph."""
        return driven(self.model.graph, self.f, self.g, control)


def driven(graph: Graph, f: int, g: int, control: int) -> int:
    """The node of f + g u."""
    n, m = graph.size(f), graph.size(control)
    pushes = graph.binary("mul", g, graph.take(control, [j for _ in range(n) for j in range(m)]))
    return graph.binary("add", f, graph.sum(pushes, n))


class Demand(NamedTuple):
    """± (∇v·x' + rate v) > 0, for a node v of the model's graph."""

    value: int
    rate: Fraction
    sign: int


@dataclass(frozen=True)
class Affine:
    """a + b·u, and its gradients: nodes of the model's graph; a has size 1, b size m, `slopes` are of a, b₁, b₂, ..."""

    a: int
    b: int
    slopes: tuple[int, ...]

    @staticmethod
    def of(plant: Plant, value: int, rate: Fraction, sign: int) -> Affine:
        """± (∇v·(f + g u) + rate v)."""
        model, graph = plant.model, plant.model.graph
        n, m = model.n, plant.m
        a = model.scaled(Fraction(sign), model.rate_of_change(value, plant.f, rate))
        columns = graph.take(plant.g, [i * m + j for j in range(m) for i in range(n)])
        slope = graph.take(model.slope(value), [i for _ in range(m) for i in range(n)])
        b = model.scaled(Fraction(sign), graph.sum(graph.binary("mul", slope, columns), m))
        return Affine(a, b, (gradient(graph, a), *jacobian(graph, b)))


def chosen(
    graph: Graph, margins: Sequence[Affine], limits: Box, lower: Tensor, upper: Tensor, parts: Sequence[Part]
) -> Tensor:
    """A control in U for each of the boxes (B, n), the same for all parts of D: (B, m)."""

    def of(low: Tensor, high: Tensor) -> Tensor:
        forms = [
            form for part in parts for form in _forms(graph, margins, joined(low, part.lower), joined(high, part.upper))
        ]
        return maximiser(partial(_least, forms, limits), limits.lower, limits.upper, len(low))

    return torch.cat([of(low, high) for low, high in zip(lower.split(CHUNK), upper.split(CHUNK), strict=True)])


def _forms(graph: Graph, margins: Sequence[Affine], lower: Tensor, upper: Tensor) -> list[Tensor]:
    """Of each margin (1, u) -> value and slopes times half widths, (B, 1 + N, 1 + m), at the midpoints."""
    middle, half = 0.5 * lower + 0.5 * upper, 0.5 * upper - 0.5 * lower
    nodes = [node for margin in margins for node in (margin.a, margin.b, *margin.slopes)]
    found = iter(evaluate(graph, nodes, middle))
    forms = []
    for _ in margins:
        value = torch.cat((next(found), next(found)), -1)  # (B, 1 + m)
        slopes = torch.stack([next(found) for _ in range(value.shape[-1])], -1) * half[:, :, None]
        forms.append(torch.cat((value[:, None], slopes), 1).nan_to_num(0.0, 0.0, 0.0))
    return forms


def _least(forms: Sequence[Tensor], limits: Box, u: Tensor, smooth: float) -> Tensor:
    """The least relative margin to first order, (C, B), of controls (C, B, m), with its kinks rounded off.

    Sizes |v| are taken as √(v² + s²) and minima as -s log Σ exp(-v/s): both concave still, and exact for s = 0.
    """
    w, reach = torch.cat((torch.ones_like(u[..., :1]), u), -1), _reach(limits)
    margins = []
    for form in forms:
        size = form.abs().sum(1) @ reach + 1e-300
        values = torch.einsum("bkj,cbj->cbk", form, w) / size[:, None]
        margins.append(values[..., 0] - (values[..., 1:].square() + smooth**2).sqrt().sum(-1))
    return -smooth * torch.logsumexp(-torch.stack(margins) / smooth, 0)


def _reach(limits: Box) -> Tensor:
    """Bounds of (1, |u|) over U."""
    return torch.cat((torch.ones(1, dtype=torch.float64), torch.maximum(limits.lower.abs(), limits.upper.abs())))


def maximiser(score: Callable[[Tensor, float], Tensor], lower: Tensor, upper: Tensor, count: int) -> Tensor:
    """Points (count, m) of a box near the maximum of a concave score of (C, count, m), from its centre.

    Steps along one or two axes at a time, halved again and again. They would stop at an edge of the score, along which
    alone it rises: so it is given rounded off, at first on the scale of the box, and less and less with the steps.
    """
    axes = torch.eye(len(lower), dtype=torch.float64)
    signed = torch.cat((axes, -axes))
    pairs = itertools.combinations(signed, 2) if len(lower) <= PAIRED else ()
    double = [a + b for a, b in pairs if bool((a + b).any())]
    steps = torch.stack([torch.zeros_like(lower), *signed, *double])
    u, rows = (0.5 * lower + 0.5 * upper).expand(count, -1), torch.arange(count)
    for k in sorted([*range(1, HALVINGS + 1)] * 2):
        tried = torch.minimum(torch.maximum(u + (steps * (0.5**k * (upper - lower)))[:, None], lower), upper)
        u = tried[score(tried, 0.5 ** (k + 1)).argmax(0), rows]
    return u


def impossible(graph: Graph, margins: Sequence[Affine], limits: Box, inputs: Tensor) -> bool:
    """Certainly no u in U makes all margins positive at all of the inputs (S, N): one state, with several d."""
    return any(_none_for(graph, margins, limits, some) for some in (*inputs.split(1), *([inputs] * (len(inputs) > 1))))


def _none_for(graph: Graph, margins: Sequence[Affine], limits: Box, inputs: Tensor) -> bool:
    there, images = Graph(graph.dimension), list[int]()
    for z in inputs:
        nodes = [node for margin in margins for node in (margin.a, margin.b)]
        images += graph.copy_into(there, nodes, there.constant(rational(z)))
    pairs = list(zip(images[::2], images[1::2], strict=True))
    forms = torch.stack([torch.cat(evaluate(there, list(pair), inputs[:1]), -1)[0] for pair in pairs])
    sizes = forms.abs() @ _reach(limits)
    if not bool(sizes.isfinite().all()):
        return False
    sizes = torch.where(sizes > 0, sizes, 1.0)
    weights = rational(_weights(forms / sizes[:, None], limits) / sizes)
    return upper_bounds(there, [_largest(there, pairs, weights, limits)], inputs[0])[0] <= 0


def _weights(forms: Tensor, limits: Box) -> Tensor:
    """λ >= 0 (K,), its largest entry 1, with the least maximum over u in U of Σ λ_k c_k·(1, u); c is (K, 1 + m)."""
    count, centre, half = len(forms), limits.center, limits.half_widths

    def whole(others: Tensor, k: int) -> Tensor:
        return torch.cat((others[..., :k], torch.ones_like(others[..., :1]), others[..., k:]), -1)

    def height(weights: Tensor, smooth: float) -> Tensor:
        total = weights @ forms
        swing = ((total[..., 1:] * half).square() + smooth**2).sqrt()
        return total[..., 0] + total[..., 1:] @ centre + swing.sum(-1)

    def score(k: int, others: Tensor, smooth: float) -> Tensor:
        return -height(whole(others, k), smooth)

    if count == 1:
        return torch.ones(1, dtype=torch.float64)
    low, high = torch.zeros(count - 1, dtype=torch.float64), torch.ones(count - 1, dtype=torch.float64)
    found = [whole(maximiser(partial(score, k), low, high, 1)[0], k) for k in range(count)]
    return min(found, key=lambda weights: float(height(weights, 0.0)))


def _largest(graph: Graph, pairs: Sequence[tuple[int, int]], weights: Sequence[Fraction], limits: Box) -> int:
    """The node of the largest Σ λ_k (a_k + b_k·u) over u in U."""
    total = graph.constant([0])
    factors = graph.constant([0] * limits.dimension)
    for (a, b), weight in zip(pairs, weights, strict=True):
        total = graph.binary("add", total, graph.binary("mul", graph.constant([weight]), a))
        scaled = graph.binary("mul", graph.constant([weight] * limits.dimension), b)
        factors = graph.binary("add", factors, scaled)
    ends = [graph.binary("mul", factors, graph.constant(rational(end))) for end in (limits.lower, limits.upper)]
    return graph.binary("add", total, graph.sum(graph.binary("maximum", *ends), 1))


def rational(values: Tensor) -> list[Fraction]:
    """The exact values of floats."""
    return [Fraction(value) for value in values.tolist()]
