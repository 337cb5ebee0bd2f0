"""The clause at an equilibrium x* where V has a kink: along all rays from x* at once, with no hole.

R is a box with x* inside. Every x != x* of R is x* + t e with t in (0, 1] and x* + e on a face of R. With V(x*) = 0,
and F(x*, d) = 0 (continuous time) or x* (discrete), and with the quotients q and motions of quotients.py,

    V(x) = t q_V,   g.F(x, d) + rate V(x) in t (motion of V for the direction q_F + rate q_V), g in Clarke's gradient,
    factor V(x) - V(F(x, d)) = t (factor q_V - q_VF), q_VF by the rules from the base x* and the quotient q_F.

So the signs of the brackets over all faces of R and d in D give the clause on R less x*: one tree a face, leaves 'p'.
There V >= c |x - x*| for one c > 0, as q_V is positive on finitely many closed boxes. And F is defined on all rays: q_F
is, in every entry, also where no branch of V that is taken reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ctrlnet.checker.affine import nothing, span
from ctrlnet.checker.document import sequence
from ctrlnet.checker.enclosures import unknown
from ctrlnet.checker.forms import rational
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort, Outcome, every, middle, settle
from ctrlnet.checker.quotients import Rays
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.tree import Leaves, leaves

ADVICE = "write the system in coordinates shifted to its equilibrium, so that this is an identity"


def faces(trees: Any, at: Sequence[Fraction], around: Interval, D: Interval, effort: Effort) -> list[Leaves]:
    """Leaves of the trees [[lower, upper] per axis], over (face of R) x D, of every face of R (1, n), x* inside R."""
    corners = zip(around.lo[0].tolist(), at, around.hi[0].tolist(), strict=True)
    if not all(Fraction(low) < x < Fraction(high) for low, x, high in corners):
        raise Rejected("the equilibrium does not lie inside the box R around it")
    found = []
    for axis, pair in enumerate(sequence(trees, "the trees of R", len(at))):
        for tree, side in zip(sequence(pair, "the trees of R", 2), (around.lo, around.hi), strict=True):
            low, high = around.lo[0].copy(), around.hi[0].copy()
            low[axis] = high[axis] = side[0, axis]
            box = np.concatenate([low, D.lo[0]]), np.concatenate([high, D.hi[0]])
            found.append(leaves(tree, *box, "p", f"the face x{axis + 1} = {side[0, axis]:g} of R"))
            effort.leaves += len(found[-1])
    return found


def flow(
    V: Evaluator, F: Evaluator, at: Sequence[Fraction], around: Interval, D: Interval,
    trees: Any, effort: Effort, rate: Interval,
) -> None:  # fmt: skip
    """F(x*, d) = 0, V(x*) = 0, and V > 0, g.F + rate V < 0 for x in R less x*, all d and g in Clarke's gradient."""
    rays = Rays(at, (V, F))
    _vanishing(rays, V, F, [Fraction(0)] * len(at))

    def test(box: Interval) -> Outcome:
        (base, e), x = rays.state(box), slice(len(at))
        field = rays.along(F, base, e, nothing(e))
        value = rays.along(V, base[:, :, x], e[:, :, x], field.quotient)
        found = every(positive(value.quotient), positive(-(value.motion + value.quotient * rate)))
        return found._replace(proved=found.proved & ~unknown(span(field.quotient)))

    for part in faces(trees, at, around, D, effort):
        settle(part, "V > 0 and g.F + rate V < 0 along the rays from x*", test, effort, chunk(V, F))


def step(
    V: Evaluator, F: Evaluator, at: Sequence[Fraction], around: Interval, D: Interval, X: Interval,
    trees: Any, effort: Effort, factor: Interval,
) -> None:  # fmt: skip
    """F(x*, d) = x*, V(x*) = 0, and V > 0, F in X, V(F) < factor V for x in R less x* and d in D."""
    rays = Rays(at, (V, F))
    _vanishing(rays, V, F, at)

    def test(box: Interval) -> Outcome:
        (base, e), x = rays.state(box), slice(len(at))
        still = nothing(e)
        following = rays.along(F, base, e, still).quotient
        here = rays.along(V, base[:, :, x], e[:, :, x], still[:, :, x]).quotient
        there = rays.along(V, base[:, :, x], following, still[:, :, x]).quotient
        return every(positive(here), positive(here * factor - there))

    for part in faces(trees, at, around, D, effort):
        settle(part, "V > 0 and V(F) < (1 - kappa) V along the rays from x*", test, effort, chunk(V, F))
    whole = Leaves(stack([around, D], 1), np.array([ord("p")], np.uint8), np.zeros(1, np.int64))
    settle(whole, "F maps R into X", lambda box: _inside(F, box, X), effort, F.chunk(1))


def _vanishing(rays: Rays, V: Evaluator, F: Evaluator, resting: Sequence[Fraction]) -> None:
    """V(x*) = 0, and F(x*, d) is `resting`, identically."""
    (value,), field = rays.exact[V][V.graph.output], rays.exact[F][F.graph.output]
    if value or any(rational(form) != x for form, x in zip(field, resting, strict=True)):
        raise Rejected(f"V or F does not have its value at the equilibrium identically; {ADVICE}")


def chunk(V: Evaluator, F: Evaluator) -> int:
    return min(V.chunk(1, F.n), F.chunk(1))


def _inside(F: Evaluator, box: Interval, X: Interval) -> Outcome:
    """F(x, d) lies in the closed box X (n,)."""
    y, p = F(box, 1), F(middle(box), 0)[0]
    proved, refuted = ((y.lo[0] >= X.lo) & (y.hi[0] <= X.hi)).all(1), ((p.hi < X.lo) | (p.lo > X.hi)).any(1)
    size = np.maximum(np.abs(y.lo[1:]), np.abs(y.hi[1:])).max(2).T * (box.hi - box.lo)
    return Outcome(np.asarray(proved), np.asarray(refuted), size)


def positive(form: Interval) -> Outcome:
    """That a form of size 1 is positive on all rays; refuted where it is not on any."""
    values = span(form)[:, 0]
    size = np.maximum(np.abs(form.lo[1:, :, 0]), np.abs(form.hi[1:, :, 0])).T
    return Outcome(values.lo > 0, values.hi <= 0, size + (form.hi[0] - form.lo[0]) / max(1, size.shape[1]))
