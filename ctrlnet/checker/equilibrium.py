"""The clause at the equilibrium: on a box R around x* no hole is left, the decrease is shown by quadratic forms."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ctrlnet.checker import symbolic
from ctrlnet.checker.definite import positive_definite
from ctrlnet.checker.document import fields, float64s
from ctrlnet.checker.enclosures import quadratic_forms
from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.tree import Leaves

ADVICE = "write the system in coordinates shifted to its equilibrium, so that this is an identity"


def neighbourhood(value: Any, at: Sequence[Fraction], lower: Array, upper: Array) -> Interval:
    """The box R of the proof, shape (1, n), which contains x* and lies in the box of the statement."""
    corners = fields(value, ("lower", "upper"), "the box R around the equilibrium")
    low, high = (float64s(corners[k], f"R, {k}", len(at)) for k in ("lower", "upper"))
    if not all(Fraction(a) <= x <= Fraction(b) for a, x, b in zip(low.tolist(), at, high.tolist(), strict=True)):
        raise Rejected("the equilibrium does not lie in the box R around it")
    if (low < lower).any() or (high > upper).any():
        raise Rejected("the box R around the equilibrium does not lie in the box of the statement")
    return Interval(low[None], high[None])


def placed(interior: Leaves, around: Interval, at: Sequence[Fraction]) -> None:
    """The leaves of kind 'e' lie in R; and, to fail early, none of kind 'p' contains x*, where V > 0 is false."""
    inside, proved, point = interior.of_kind("e").box, interior.of_kind("p").box, Interval.of(at)
    if (inside.lo < around.lo).any() or (inside.hi > around.hi).any():
        raise Rejected("a leaf of kind 'e' does not lie in the box R around the equilibrium")
    if ((proved.lo <= point.hi) & (point.lo <= proved.hi)).all(axis=1).any():
        raise Rejected("a leaf of kind 'p' contains the equilibrium, where V is not positive")


def vanishing(V: Evaluator, F: Evaluator, at: Sequence[Fraction]) -> None:
    """F(x*) = 0, V(x*) = 0 and grad V(x*) = 0, as identities of exact forms."""
    algebra = symbolic.Algebra()
    try:
        field = symbolic.values(F.graph, at, algebra)[F.graph.output]
        found = symbolic.values(V.graph, at, algebra)
        gradient = symbolic.gradient(V.graph, found, algebra)
    except symbolic.Undetermined as reason:
        raise Rejected(f"at the equilibrium: {reason}") from reason
    for name, forms in (("F", field), ("V", found[V.graph.output]), ("grad V", gradient)):
        if any(forms):
            raise Rejected(f"{name} is not identically zero at the equilibrium; {ADVICE}")


def local(V: Evaluator, F: Evaluator, around: Interval, rate: Interval) -> None:
    """V > 0 and grad V.F + rate V < 0 on R less x*, given `vanishing`."""
    hessian, product = quadratic_forms(V, F, around, rate)
    if not positive_definite(hessian):
        raise Rejected("Hess V is not proved positive definite on the box R around x*")
    if not positive_definite(-product):
        raise Rejected("Hess V'.DF + rate Hess V / 2 is not proved negative definite on the box R around x*")
