"""The clause at the equilibrium of a plant: on a box R around x* a law u* + K (x - x*) takes the place of constants.

Claim. On R the law is in U and has grad h.F + rate h > 0 for every barrier h, F = f + g (u* + K (x - x*)); and it has V
> 0 > grad V.F + rate V on R less x*; all that for every d in D. Proof. The law is affine: its values at corners of R
decide. F, V and grad V vanish at x* identically, whatever d, and F is Lipschitz on R, V twice differentiable: so
`equilibrium.flow` gives the inequalities of V. Those of h are tests on boxes in R x D, as on every leaf, of F under the
law.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ctrlnet.checker import equilibrium, symbolic
from ctrlnet.checker.controls import Condition, Control, Plant, driven, kept
from ctrlnet.checker.document import fields, numbers, sequence
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import NONE, Goal
from ctrlnet.checker.tree import Leaves


def clause(
    block: Any, interior: Leaves, plant: Plant, conditions: Sequence[Condition], at: Sequence[Fraction], X: Interval
) -> Iterator[Goal]:
    """Check the block `equilibrium` of the proof, R with K and u*; the first condition is that on V."""
    content = fields(block, ("lower", "upper", "gain", "control"), "the equilibrium")
    corners = {side: content[side] for side in ("lower", "upper")}
    around = equilibrium.neighbourhood(corners, at, X.lo, X.hi)
    equilibrium.placed(interior, around, at)
    m = len(plant.U.lo)
    rest = numbers(content["control"], "control", m)
    gain = [numbers(row, "gain", len(at)) for row in sequence(content["gain"], "gain", m)]
    admissible(gain, rest, at, around, plant.U)
    control = law(stack([Interval.of(row)[None] for row in gain]), Interval.of(rest), Interval.of(at), plant.D)
    field: Any = driven(plant, control)  # called like an Evaluator
    (V, rate, _), *barriers = conditions
    vanishing(V, plant, at, rest)
    equilibrium.flow(V, field, around, plant.D, rate)
    if barriers:
        whole = Leaves(equilibrium.joined(around, plant.D), np.full(1, ord("e"), np.uint8), np.zeros(1, np.int64))
        yield Goal(whole, "h' + rate h > 0 under the law on R", lambda box: kept(field, barriers, box), 2)


def admissible(
    gain: Sequence[Sequence[Fraction]], rest: Sequence[Fraction], at: Sequence[Fraction], around: Interval, U: Interval
) -> None:
    """The law has its extrema over R at corners of R; they are in U, in rational arithmetic."""
    sides = list(zip(around.lo[0].tolist(), at, around.hi[0].tolist(), strict=True))
    for row, u, low, high in zip(gain, rest, U.lo.tolist(), U.hi.tolist(), strict=True):
        ends = [(k * (Fraction(a) - x), k * (Fraction(b) - x)) for k, (a, x, b) in zip(row, sides, strict=True)]
        if u + sum(map(min, ends)) < Fraction(low) or u + sum(map(max, ends)) > Fraction(high):
            raise Rejected("the law at the equilibrium leaves the box U of the controls on the box R around x*")


def law(gain: Interval, at_rest: Interval, at: Interval, D: Interval = NONE) -> Control:
    """u = u* + K (x - x*), for K (m, n), u* (m,) and x* (n,); on boxes of (x, d), but no function of d."""
    (m, n), k = gain.shape, D.shape[1]
    slope = stack([gain.T, Interval(np.zeros((k, m)), np.zeros((k, m)))])

    def control(box: Interval) -> Interval:
        u = at_rest + (gain * (box[:, :n] - at)[:, None]).sum()
        w = stack([u[None], slope[:, None].broadcast(n + k, len(u.lo), m)])
        first = np.zeros((len(w.lo), len(u.lo), 1))
        first[0] = 1.0
        return stack([Interval(first, first), w], axis=-1)

    return control


def vanishing(V: Evaluator, plant: Plant, at: Sequence[Fraction], at_rest: Sequence[Fraction]) -> None:
    """f(x*, d) + g(x*, d) u* = 0 for all d, V(x*) = 0 and grad V(x*) = 0, as identities of exact forms."""
    algebra, m = symbolic.Algebra(), len(at_rest)
    here: list[Fraction | symbolic.Form] = [*at, *(algebra.free(i) for i in range(plant.D.shape[1]))]
    try:
        f, g = (symbolic.values(e.graph, here, algebra)[e.graph.output] for e in (plant.f, plant.g))
        pushes = [list(zip(at_rest, g[i * m : i * m + m], strict=True)) for i in range(len(f))]
        field = [algebra.combination((1, y), *push) for y, push in zip(f, pushes, strict=True)]
        found = symbolic.values(V.graph, at, algebra)
        gradient = symbolic.gradient(V.graph, found, algebra)
    except symbolic.Undetermined as reason:
        raise Rejected(f"at the equilibrium: {reason}") from reason
    for name, forms in (("f + g u*", field), ("V", found[V.graph.output]), ("grad V", gradient)):
        if any(forms):
            raise Rejected(f"{name} is not identically zero at the equilibrium; {equilibrium.ADVICE}")
