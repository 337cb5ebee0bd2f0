"""The box R around x* of a zero-order hold: where the slopes Ψ of x(0) -> x(T) have q H - ΨᵀH₃Ψ positive definite.

As sampled.py says, Ψ = I + T L + (T²/2) A (A + C) + ..., where L is the mean of A + C over a period. With a disturbance
A and C are those at d(t): for the mean m of d(t), c the middle of D, N_j = ∂(A + C)/∂d_j over D, and P_j amid [N_j],
    L in [A + C](Z, U, c) + Σ P_j (m_j - c_j) + ([N_j] - P_j)(D_j - c_j),
by mean values in d. So the inequalities may be shown for each of up to 64 parts of D that m can be in; d(t) ranges over
all of D in any case. All is to a rounding: the checker decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ctrlnet.prover.disturbed_flow import DisturbedFlow
from ctrlnet.prover.equilibrium import (
    HALVINGS,
    Neighbourhood,
    added,
    disturbance_parts,
    positive_definite,
    scaled,
    shape,
    stacked,
    transposed_product,
)
from ctrlnet.prover.interval import Interval, interval_bounds

if TYPE_CHECKING:
    from ctrlnet.prover.sampled import SampledLoop

TERMS = 4  # powers of A in Ψ


@dataclass(frozen=True)
class Slopes:
    """Of boxes (B, n) around x*: Z; whether solutions stay inside the box; Ψ = I + T (L + rest), with L in `first`.

    at_c: [A + C](Z, U, c). changes: [N_j] for every j; none without disturbance.
    """

    hull: Interval
    good: Tensor
    first: Interval
    rest: Interval
    at_c: Interval
    changes: list[Interval]


def sampled_neighbourhood(loop: SampledLoop) -> Neighbourhood | None:
    """The largest R of its shape, inside the box, on which the matrix inequalities hold; None if none does."""
    about, box = loop.about, loop.model.box
    reach = torch.minimum(about - box.lower, box.upper - about)
    half = shape(loop, about, reach) * (2.0 ** (-0.5 * torch.arange(HALVINGS, dtype=torch.float64)))[:, None]
    low, high = about - half, about + half
    gain = stacked(interval_bounds(loop.graph, loop.parts[1], *loop.whole(low, high)))
    n = loop.model.n
    found = slopes(loop, low, high, Interval(gain.lower[..., :n], gain.upper[..., :n]))
    H = stacked(interval_bounds(loop.graph, loop.hessian, *loop.whole(low, high)))
    H3 = stacked(interval_bounds(loop.graph, loop.hessian, *loop.whole(*found.hull)))
    rising = found.good & positive_definite(H)
    for parts in disturbance_parts(loop):
        falling = torch.stack([positive_definite(_decrease(loop, found, H, H3, *part)) for part in parts])
        good = (rising & falling.all(0)).nonzero().flatten()
        if len(good):
            return Neighbourhood(low[good[0]], high[good[0]])
    return None


def slopes(loop: SampledLoop, lower: Tensor, upper: Tensor, gain: Interval) -> Slopes:
    """Enclose the slopes of x(0) -> x(T), for [∂π] (B, m, n); or for any other C = [∂f/∂u] gain, of p columns."""
    (control,) = interval_bounds(loop.graph, [loop.policy], *loop.whole(lower, upper))
    hull, found = loop.flow.sweep(Interval(lower, upper), control)
    box = loop.model.box
    inside = ((hull.lower > box.lower) & (hull.upper < box.upper)).all(-1)
    A, C = _by_state(loop, stacked(loop.flow.bounds(loop.parts[0], hull, control)), gain)
    first, rest = _turn(A, C), _rest(A, C, float(loop.flow.period))
    at_c, changes = first, []
    if isinstance(loop.flow, DisturbedFlow):
        c = Interval(loop.flow.c, loop.flow.c)
        at_c = _turn(*_by_state(loop, stacked(loop.flow.bounds(loop.parts[0], hull, control, c)), gain))
        mixed = (stacked(loop.flow.bounds(rows, hull, control)) for rows in loop.flow.mixed)
        changes = [_turn(*_by_state(loop, rows, gain)) for rows in mixed]
    return Slopes(hull, found & inside, first, rest, at_c, changes)


def _by_state(loop: SampledLoop, rows: Interval, gain: Interval) -> tuple[Interval, Interval]:
    """Derivatives (B, n, n + m + ...) by x, and by u times the gain."""
    n, m = loop.model.n, gain.lower.shape[1]
    A, B = (Interval(rows.lower[:, :, part], rows.upper[:, :, part]) for part in (slice(n), slice(n, n + m)))
    return A, _product(B, gain)


def _turn(A: Interval, C: Interval) -> Interval:
    """A + C (B, n, p), A in the first n columns."""
    more = C.lower.shape[-1] - A.lower.shape[-1]
    return added(Interval(*(torch.nn.functional.pad(side, (0, more)) for side in A)), C)


def _rest(A: Interval, C: Interval, T: float) -> Interval:
    """(T/2) A (A + C) + (T²/6) A A (A + C) + ..."""
    unit = torch.eye(*C.lower.shape[1:], dtype=torch.float64).expand_as(C.lower)
    M = Interval(unit, unit)
    for _ in range(4 * TERMS):  # from inside, to where it hardly grows any more
        N = added(_product(A, M), C)
        M = Interval(unit + T * N.lower.clamp(max=0.0), unit + T * N.upper.clamp(min=0.0))
    term, last = _turn(A, C), added(_product(A, M), C)
    rest = Interval(torch.zeros_like(C.lower), torch.zeros_like(C.upper))
    for k in range(1, TERMS + 1):  # every term by itself: its factors A are taken at different times
        term, last = (scaled(_product(A, factor), T / (k + 1)) for factor in (term, last))
        rest = added(rest, term if k < TERMS else last)
    return rest


def _decrease(loop: SampledLoop, found: Slopes, H: Interval, H3: Interval, least: Tensor, most: Tensor) -> Interval:
    """q H - ΨᵀH₃Ψ, for means of d(t) in [least, most]."""
    T, unit = float(loop.flow.period), torch.eye(loop.model.n, dtype=torch.float64)
    step = scaled(added(_mean(loop, found, least, most), found.rest), T)
    psi = Interval(unit + step.lower, unit + step.upper)
    after = transposed_product(psi, transposed_product(H3, psi))
    return added(scaled(H, float(loop.shrinkage)), Interval(-after.upper, -after.lower))


def _mean(loop: SampledLoop, found: Slopes, least: Tensor, most: Tensor) -> Interval:
    """[L]; a bound that is not a number, from a kink, is none."""
    if not isinstance(loop.flow, DisturbedFlow):
        return found.first
    total, E, c = found.at_c, loop.flow.E, loop.flow.c
    for j, change in enumerate(found.changes):
        middle, radius = 0.5 * (change.lower + change.upper), 0.5 * (change.upper - change.lower)
        ends = middle * (least[j] - c[j]), middle * (most[j] - c[j])
        spread = radius * torch.maximum(E.upper[j], -E.lower[j])
        total = added(total, Interval(torch.minimum(*ends) - spread, torch.maximum(*ends) + spread))
    return Interval(
        torch.maximum(found.first.lower, total.lower.nan_to_num(-torch.inf, torch.inf, -torch.inf)),
        torch.minimum(found.first.upper, total.upper.nan_to_num(torch.inf, torch.inf, -torch.inf)),
    )


def _product(a: Interval, b: Interval) -> Interval:
    return transposed_product(Interval(a.lower.mT, a.upper.mT), b)
