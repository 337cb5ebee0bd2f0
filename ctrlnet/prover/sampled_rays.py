"""The box R around x* of a zero-order hold where V has a kink at x*: along all rays, with the slopes of x(0) -> x(T).

On R, under any d(t) in D of the mean m, and with c the middle of D, sampled_equilibrium.py has
    x(T) - x* = (s + T Σ P_j (m_j - c_j)) w,   w = (x - x*, π(x) - π(x*)),
for some matrix s of a box S: that is I + T (L_c + rest), by x and u apart, L_c = L - Σ P_j (m_j - c_j). Any P_j will
do, and here it is N_j at x*. So V(x(T)) < q V(x) is what rays.py proves of the map F(x, m, s) with 1 - kappa = q, for
every s in S. The policy is a function in it, no interval of slopes: where it has a kink at x*, its side is that of x.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.disturbed_flow import DisturbedFlow
from ctrlnet.prover.equilibrium import Neighbourhood, added
from ctrlnet.prover.interval import Interval
from ctrlnet.prover.rays import Corners, ray_claim, ray_neighbourhood
from ctrlnet.prover.sampled_equilibrium import Slopes, slopes

if TYPE_CHECKING:
    from ctrlnet.prover.sampled import SampledLoop

NEAR = 2.0**-30  # of the distance to the boundary: where the P_j are taken
RESERVE = 0.01  # of the width of S, that is left to the checker


def sampled_rays(loop: SampledLoop) -> Neighbourhood | None:
    """The largest R tried, inside the box, on which V falls in a period along all rays from x*; None if none."""
    box, D = loop.model.box, loop.model.disturbance
    P = changes(loop, NEAR * torch.minimum(loop.about - box.lower, box.upper - loop.about))
    claim = ray_claim(
        *map_of(loop, P),
        loop.equilibrium,
        None if D is None else (D.lower, D.upper),
        kappa=1 - loop.shrinkage,
        further=lambda lower, upper: matrices(loop, lower, upper, P),
    )
    found = ray_neighbourhood(claim, (box.lower, box.upper))
    return None if found is None else Neighbourhood(found.lower, found.upper, found.trees)


def _apart(loop: SampledLoop, lower: Tensor, upper: Tensor) -> Slopes:
    """The slopes by x and u, not by x alone."""
    n, m = loop.model.n, loop.graph.size(loop.policy)
    itself = torch.eye(n + m, dtype=torch.float64)[None, n:]
    return slopes(loop, lower[None], upper[None], Interval(itself, itself))


def changes(loop: SampledLoop, half: Tensor) -> Tensor:
    """Every P_j (k, n, p); NaN in the entries that have no N_j."""
    found = _apart(loop, loop.about - half, loop.about + half).changes
    middles = [0.5 * N.lower[0] + 0.5 * N.upper[0] for N in found]
    n, p = loop.model.n, loop.model.n + loop.graph.size(loop.policy)
    P = torch.stack(middles) if middles else torch.zeros(0, n, p, dtype=torch.float64)
    return torch.where(P.isfinite().all(0), P, torch.nan)


def matrices(loop: SampledLoop, lower: Tensor, upper: Tensor, P: Tensor) -> Corners:
    """The corners of S for those of R, flat; NaN where solutions are not known to stay in the box."""
    found, T = _apart(loop, lower, upper), float(loop.flow.period)
    mean = found.at_c
    if isinstance(loop.flow, DisturbedFlow):
        for N, middle, far in zip(found.changes, P, torch.maximum(-loop.flow.E.lower, loop.flow.E.upper), strict=True):
            spread = torch.maximum(N.upper - middle, middle - N.lower) * far
            mean = added(mean, Interval(-spread, spread))
    known = P.isfinite().all(0)
    mean = Interval(*(torch.where(known, a, b) for a, b in zip(mean, found.first, strict=True)))
    step = added(mean, found.rest)
    slack = RESERVE * (step.upper - step.lower) + 1e-12 * torch.maximum(step.upper, -step.lower)
    unit = torch.eye(*known.shape, dtype=torch.float64)
    ends = unit + T * (step.lower - slack), unit + T * (step.upper + slack)
    low, high = (torch.where(found.good[:, None, None], end, torch.nan)[0].flatten() for end in ends)
    return low, high


def map_of(loop: SampledLoop, P: Tensor) -> tuple[Graph, int, int]:
    """A graph over (x, m, s), V and F = x* + (s + T Σ P_j (m_j - c_j)) w."""
    n, N, p = loop.model.n, loop.graph.dimension, P.shape[-1]
    graph = Graph(N + n * p)
    x, mean, s = (graph.take(graph.input, range(*ends)) for ends in ((0, n), (n, N), (N, graph.dimension)))
    at = graph.constant(loop.equilibrium)
    value, control = loop.graph.copy_into(graph, [loop.value, loop.policy], graph.concatenate([x, mean]))
    (resting,) = loop.graph.copy_into(graph, [loop.policy], graph.concatenate([at, mean]))
    w = graph.concatenate([graph.binary("sub", x, at), graph.binary("sub", control, resting)])
    moved = graph.sum(graph.binary("mul", s, graph.take(w, [j for _ in range(n) for j in range(p)])), n)
    c = 0.5 * loop.model.lower[n:] + 0.5 * loop.model.upper[n:]
    for j, change in enumerate(P.nan_to_num()):
        away = graph.binary("sub", graph.take(mean, [j]), graph.constant([Fraction(float(c[j]))]))
        push = graph.linear(w, (float(loop.flow.period) * change).numpy())
        moved = graph.binary("add", moved, graph.binary("mul", graph.take(away, [0] * n), push))
    return graph, value, graph.binary("add", at, moved)
