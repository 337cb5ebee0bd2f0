"""The clause at the equilibrium: on a box R around x* no hole is left, the decrease is shown by quadratic forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ctrlnet.checker import rays, symbolic
from ctrlnet.checker.definite import positive_definite
from ctrlnet.checker.document import fields, float64s
from ctrlnet.checker.enclosures import hessian, jacobian, product
from ctrlnet.checker.forms import ONE
from ctrlnet.checker.interval import Array, Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort
from ctrlnet.checker.maps import congruence
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.tree import Leaves

ADVICE = "write the system in coordinates shifted to its equilibrium, so that this is an identity"
PARTS = 64
"""Most parts of D over which the quadratic forms are enclosed one by one."""


def neighbourhood(value: Any, at: Sequence[Fraction], lower: Array, upper: Array, kinked: bool = False) -> Interval:
    """The box R of the proof, shape (1, n), which contains x* and lies in X; `kinked` allows it the field "rays"."""
    names = ("lower", "upper", *(("rays",) if kinked and isinstance(value, dict) and "rays" in value else ()))
    corners = fields(value, names, "the box R around the equilibrium")
    low, high = (float64s(corners[k], f"R, {k}", len(at)) for k in ("lower", "upper"))
    if not all(Fraction(a) <= x <= Fraction(b) for a, x, b in zip(low.tolist(), at, high.tolist(), strict=True)):
        raise Rejected("the equilibrium does not lie in the box R around it")
    if (low < lower).any() or (high > upper).any():
        raise Rejected("the box R around the equilibrium does not lie in the box of the statement")
    return Interval(low[None], high[None])


def placed(interior: Leaves, around: Interval, at: Sequence[Fraction]) -> None:
    """The leaves of kind 'e' lie in R; and, to fail early, none of kind 'p' contains x*, where V > 0 is false."""
    states, point = slice(len(at)), Interval.of(at)
    inside, proved = (interior.of_kind(kind).box[:, states] for kind in "ep")
    if (inside.lo < around.lo).any() or (inside.hi > around.hi).any():
        raise Rejected("a leaf of kind 'e' does not lie in the box R around the equilibrium")
    if ((proved.lo <= point.hi) & (point.lo <= proved.hi)).all(axis=1).any():
        raise Rejected("a leaf of kind 'p' contains the equilibrium, where V is not positive")


def vanishing(V: Evaluator, F: Evaluator, at: Sequence[Fraction], fixed: bool = False) -> None:
    """F(x*, d) = 0, or x* if `fixed`, for all d, V(x*) = 0, grad V(x*) = 0: identities of exact forms."""
    algebra = symbolic.Algebra()
    free = [algebra.free(i) for i in range(F.n - len(at))]
    try:
        field = symbolic.values(F.graph, [*at, *free], algebra)[F.graph.output]
        found = symbolic.values(V.graph, at, algebra)
        gradient = symbolic.gradient(V.graph, found, algebra)
        rest = [algebra.combination((1, y), (-x, ONE)) for x, y in zip(at, field, strict=True)]
    except symbolic.Undetermined as reason:
        raise Rejected(f"at the equilibrium: {reason}") from reason
    named = ("F - x*", rest) if fixed else ("F", field)
    for name, forms in (named, ("V", found[V.graph.output]), ("grad V", gradient)):
        if any(forms):
            raise Rejected(f"{name} is not identically zero at the equilibrium; {ADVICE}")


def continuous(
    V: Evaluator, F: Evaluator, at: Sequence[Fraction], block: Mapping[str, Any], around: Interval, D: Interval,
    effort: Effort, rate: Interval,
) -> None:  # fmt: skip
    """V > 0 and g.F + rate V < 0 for x in R less x* and d in D; by rays from x* where the proof has them."""
    if "rays" in block:
        rays.flow(V, F, at, around, D, block["rays"], effort, rate)
    else:
        vanishing(V, F, at)
        flow(V, F, around, D, rate)


def discrete(
    V: Evaluator, F: Evaluator, at: Sequence[Fraction], block: Mapping[str, Any], around: Interval, D: Interval,
    X: Interval, effort: Effort, factor: Interval,
) -> None:  # fmt: skip
    """V > 0, F in X and V(F) < factor V for x in R less x* and d in D; by rays from x* where the proof has them."""
    if "rays" in block:
        rays.step(V, F, at, around, D, X, block["rays"], effort, factor)
    else:
        vanishing(V, F, at, fixed=True)
        step(V, F, around, D, X, factor)


def flow(V: Evaluator, F: Evaluator, around: Interval, D: Interval, rate: Interval) -> None:
    """V > 0 and grad V.F + rate V < 0 for x in R less x* and d in D, given `vanishing`.

    With e = x - x*, K in [Hess V] and A in [Clarke's Jacobian of F in x] over R x D,
    grad V.F + rate V = e'(H'A + rate K / 2) e.
    """
    H = positive(V, around)

    def refusal(part: Interval) -> str:
        bend = product(H, state_jacobian(F, around, part)) + H.scaled(0.5) * rate
        if positive_definite(-bend[:, :, 0]):
            return ""
        return "Hess V'.DF + rate Hess V / 2 is not proved negative definite on the box R around x*"

    everywhere(refusal, D)


def step(V: Evaluator, F: Evaluator, around: Interval, D: Interval, X: Interval, factor: Interval) -> None:
    """V > 0, F in X and V(F) < factor V for x in R less x* and d in D, given `vanishing`.

    With e = x - x*, A in [Clarke's Jacobian of F in x] over R x D, H in [Hess V] over R and K in [Hess V] over a box
    that holds R and F(R x D), so the segments from x* to F(x, d), factor V - V(F) = e'(factor H - A'K A) e / 2.
    """
    H = positive(V, around)

    def refusal(part: Interval) -> str:
        y, A = F(joined(around, part), 0)[0], state_jacobian(F, around, part)
        if not ((y.lo >= X.lo) & (y.hi <= X.hi)).all():
            return "F is not proved to map the box R around x* into the box of the statement"
        K = bent(V, y.hull(around), "the box around R and its next states")
        if positive_definite((H * factor - congruence(K, A))[:, :, 0]):
            return ""
        return "(1 - kappa) Hess V - DF'.Hess V.DF is not proved positive definite on the box R around x*"

    everywhere(refusal, D)


def everywhere(refusal: Callable[[Interval], str], D: Interval) -> None:
    """Nothing is refused over D as a whole, or else over each of at most `PARTS` parts of it."""
    reason = refusal(D)
    parts = list(halved(D)) if reason and (D.lo < D.hi).any() else []
    if reason and not parts:
        raise Rejected(reason)
    for part in parts:
        reason = refusal(part)
        if reason:
            raise Rejected(reason)


def halved(D: Interval, most: int = PARTS) -> Iterator[Interval]:
    """As many equal parts of D (1, k), a power of 2, which cover it; D is wide along some axis."""
    parts, axes = [D], np.flatnonzero(D.lo[0] < D.hi[0])
    for axis in np.resize(axes, most.bit_length() - 1):
        pieces = []
        for part in parts:
            low, high = part.hi.copy(), part.lo.copy()
            low[0, axis] = high[0, axis] = 0.5 * part.lo[0, axis] + 0.5 * part.hi[0, axis]
            pieces += [Interval(part.lo, low), Interval(high, part.hi)]
        parts = pieces
    yield from parts


def positive(V: Evaluator, around: Interval) -> Interval:
    """Hess V (n, n, 1) over R, positive definite: so V > 0 on R less x*."""
    H = bent(V, around, "the box R around the equilibrium")
    if not positive_definite(H[:, :, 0]):
        raise Rejected("Hess V is not proved positive definite on the box R around x*")
    return H


def bent(V: Evaluator, box: Interval, where: str) -> Interval:
    """Hess V (n, n, 1) over one box."""
    return hessian(regular(V(box, 2), "V", where)[:, :, 0], V.n)


def state_jacobian(F: Evaluator, around: Interval, D: Interval) -> Interval:
    """Clarke's Jacobian of F in the state, (n, n, 1), over R x D."""
    n = around.shape[1]
    jet = F(joined(around, D), 1)[: 1 + n]
    return jacobian(regular(jet, "F", "the box R around the equilibrium"))


def joined(around: Interval, D: Interval) -> Interval:
    """R x D, shape (1, n + k); or B boxes (B, n) in place of R."""
    return stack([around, D.broadcast(len(around.lo), D.shape[1])], axis=1)


def regular(jet: Interval, name: str, where: str) -> Interval:
    """The jet, which must be finite."""
    if not (np.isfinite(jet.lo).all() and np.isfinite(jet.hi).all()):
        raise Rejected(f"{name} is undefined or has a kink somewhere on {where}")
    return jet
