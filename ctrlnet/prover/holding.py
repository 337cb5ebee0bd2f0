"""The control u* in U that holds a plant at x*: f(x*, d) + g(x*, d) u* = 0 for all d, in rationals, well inside U.

The equations are those at some values of d; that u* solves them at all others is left to be shown as an identity.

Where several do, U = c + [-r, r], u = c + r t: points t near the equations are found in floats, in smaller and larger
cubes, by projections onto both in turn (Bauschke and Borwein, On projection algorithms for solving convex feasibility
problems, SIAM Review 38, 1996). The solution of the equations nearest to such a t is rational.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Constant, Graph
from ctrlnet.prover.controls import Plant, rational
from ctrlnet.prover.disturbances import values
from ctrlnet.sets import Box

ENOUGH = Fraction(1, 2)  # of the half widths of U, as distance from its ends
SHARES = 8  # cubes tried
TURNS = 200  # projections
STEPS = 1 << 16  # to which t is rounded

Rows = Sequence[Sequence[Fraction]]


def control_at(plant: Plant, at: Sequence[Fraction]) -> tuple[list[Fraction] | None, bool]:
    """u*, or None and whether it is certain that no u in U holds the plant at x*.

    It is 0 where f(x*) is 0 and 0 lies inside U. Otherwise free controls rest in the middle of U, if that leaves the
    others enough room; else the most room that is found counts.
    """
    limits, m = plant.limits, plant.m
    pairs = _at(plant, at)
    if all(f and f.all_equal(0) for f, _ in pairs) and bool(((limits.lower < 0) & (limits.upper > 0)).all()):
        return [Fraction(0)] * m, False
    rows = []
    for f, g in pairs:
        if f is None or g is None:
            return None, False
        rows += [[*g.fractions[i * m : i * m + m], -y] for i, y in enumerate(f.fractions)]
    found, unique = solved(rows, rational(limits.center))
    if found is None:
        return None, True
    if not unique and _room(found, limits) < ENOUGH:
        found = max([found, *_candidates(rows, limits)], key=lambda u: _room(u, limits))
    return (found, False) if _room(found, limits) >= 0 else (None, unique)


def _at(plant: Plant, at: Sequence[Fraction]) -> list[tuple[Constant | None, Constant | None]]:
    """f and g at x* and some values of d; None where they are not rational."""
    graph, there = plant.model.graph, Graph(plant.model.graph.dimension)
    states = [there.constant([*at, *rational(d)]) for d in values(plant.model)]
    images = [graph.copy_into(there, [plant.f, plant.g], state) for state in states]
    return [(there.held(f), there.held(g)) for f, g in images]


def _room(u: Sequence[Fraction], limits: Box) -> Fraction:
    """The least distance from the ends of U, relative to its half widths; negative outside."""
    ends = zip(rational(limits.lower), u, rational(limits.upper), strict=True)
    return min(2 * min(value - low, high - value) / (high - low) for low, value, high in ends)


def _candidates(rows: Rows, limits: Box) -> Iterator[list[Fraction]]:
    """Solutions of G u = b, rows (G, b), near the cubes c + share [-r, r]."""
    c, half = rational(limits.center), rational(limits.half_widths)
    scaled = [[*(a * r for a, r in zip(row, half, strict=False)), row[-1] - _dot(row, c)] for row in rows]
    G = torch.tensor([[float(entry) for entry in row[:-1]] for row in scaled], dtype=torch.float64)
    b = torch.tensor([float(row[-1]) for row in scaled], dtype=torch.float64)
    if not bool(G.isfinite().all() and b.isfinite().all()):
        return
    for k in range(1, SHARES + 1):
        t = _projected(G, b, k / SHARES)
        near = [Fraction(round(value * STEPS), STEPS) for value in t.tolist()]
        exact = _nearest(scaled, near)
        if exact is not None:
            yield [middle + r * value for middle, r, value in zip(c, half, exact, strict=True)]


def _projected(G: Tensor, b: Tensor, share: float) -> Tensor:
    """A point of share [-1, 1]ᵐ near G t = b."""
    inverse, t = torch.linalg.pinv(G), torch.zeros(G.shape[1], dtype=torch.float64)
    for _ in range(TURNS):
        t = (t + inverse @ (b - G @ t)).clamp(-share, share)
    return t


def _nearest(rows: Rows, t: Sequence[Fraction]) -> list[Fraction] | None:
    """The solution of G t = b nearest to a point: t + Gᵀ w with G Gᵀ w = b - G t."""
    normal = [[*(_dot(row, other[:-1]) for other in rows), row[-1] - _dot(row, t)] for row in rows]
    w, _ = solved(normal, [Fraction(0)] * len(rows))
    if w is None:
        return None
    return [value + sum((k * row[j] for k, row in zip(w, rows, strict=True)), Fraction(0)) for j, value in enumerate(t)]


def _dot(row: Sequence[Fraction], values: Sequence[Fraction]) -> Fraction:
    """Of the coefficients of a row."""
    return sum((a * value for a, value in zip(row, values, strict=False)), Fraction(0))


def solved(rows: Rows, free: Sequence[Fraction]) -> tuple[list[Fraction] | None, bool]:
    """A solution of linear equations, rows of coefficients and right side, or None; and whether there is no other.

    Unknowns that the equations leave open take the values `free`. Gauss and Jordan's elimination.
    """
    rest, done = [list(row) for row in rows], {}
    for j in range(len(free)):
        pivot = next((row for row in rest if row[j]), None)
        if pivot is None:
            continue
        rest = [row for row in rest if row is not pivot]
        done[j] = [entry / pivot[j] for entry in pivot]
        for row in (*rest, *(row for k, row in done.items() if k != j)):
            row[:] = [entry - row[j] * unit for entry, unit in zip(row, done[j], strict=True)]
    if any(row[-1] for row in rest):
        return None, True
    found = list(free)
    for j, row in done.items():
        found[j] = row[-1] - sum((row[k] * free[k] for k in range(len(free)) if k not in done), Fraction(0))
    return found, len(done) == len(free)
