"""The clause at the equilibrium x* of a zero-order hold: on a box R around it V falls in a period, with no hole.

Where V has Hessians the box R and the slopes of x -> x(T) are those of a map, and its quadratic forms decide
(equilibrium.py). Where V has a kink at x*, rays do (rays.py), with slopes by x and u apart:

Claim. Let f(x*, pi(x*), d) = 0 for all d in D and V(x*) = 0, and let z = x* + t e be in R, t in (0, 1], x* + e on a
face of R. With the quotients p of pi and q_V of V along this ray, under any d(t) in D of the mean m,

    x(T) = x* + t y,   y = (S + sum_j P_j (m_j - c_j)) (e, p),   V(z) = t q_V,   V(x(T)) = t q,

S in one box of matrices for all of R, and q by the rules from the base x* and the quotient y. So q_V > 0 and factor q_V
- q > 0 on all faces of R, for all m in D, give 0 < V(z) and V(x(T)) < factor V(z) on R less x*: one tree a face, over
(face of R) x D, leaves 'p'.

Proof. x* with u = pi(x*) is a solution under d(t), and lies in R: by `Flow.apart` x(T) - x* = (S + sum_j P_j (m_j -
c_j)) (z - x*, pi(z) - pi(x*)) = t y. S depends on z and d(t), and y with it, but for each of them it is some matrix of
the box. The rules enclose (V(x* + t y) - V(x*)) / t for every y, with ranges over all x* + [0, 1] y, in R or not.

As y is finite on finitely many closed boxes, so is p: |pi(x) - pi(x*)| <= c |x - x*| on R, as V >= c |x - x*| there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ctrlnet.checker import equilibrium, symbolic
from ctrlnet.checker.affine import nothing, product, shifted, span
from ctrlnet.checker.enclosures import unbounded
from ctrlnet.checker.flow import Flow
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort, Outcome, every, settle
from ctrlnet.checker.quotients import Rays
from ctrlnet.checker.rays import chunk, faces, positive
from ctrlnet.checker.report import Rejected


def clause(
    V: Evaluator, flow: Flow, at: Sequence[Fraction], block: Mapping[str, Any], around: Interval, X: Interval,
    effort: Effort, factor: Interval,
) -> None:  # fmt: skip
    """x(t) in X for a period, V > 0 and V(x(T)) < factor V for x in R less x*; by rays where the proof has them."""
    vanishing(V, flow, at, smooth="rays" not in block)
    if not flow.stays(around, X).all():
        raise Rejected("solutions from the box R around x* are not proved to stay in the box of the statement")
    if "rays" in block:
        step(V, flow, at, around, block["rays"], effort, factor)
    else:
        F: Any = flow  # called like the Evaluator of a map
        equilibrium.step(V, F, around, flow.D, X, factor)


def step(
    V: Evaluator, flow: Flow, at: Sequence[Fraction], around: Interval, trees: Any, effort: Effort, factor: Interval
) -> None:
    """V > 0 and V(x(T)) < factor V for x in R less x* and any d(t) in D, given `vanishing`."""
    rays, n = Rays(at, (V, flow.policy)), len(at)
    S, changes = flow.apart(flow.held(around))

    def test(box: Interval) -> Outcome:
        bases, quotients = rays.state(box)
        base, e, still = bases[:, :, :n], quotients[:, :, :n], nothing(quotients[:, :, :n])
        w = stack([e, rays.along(flow.policy, base, e, still).quotient], 2)
        y = turned(S, w)
        for j, P in enumerate(changes):
            y = y + product(shifted(bases[:, :, [n + j]], -flow.c[0, [j]]), turned(P, w))
        here, there = (rays.along(V, base, to, still).quotient for to in (e, y))
        found = every(positive(here), positive(here * factor - there))
        return found._replace(proved=found.proved & ~unbounded(span(y).T))

    for part in faces(trees, at, around, flow.D, effort):
        settle(part, "V > 0 and V(x(T)) < q V along the rays from x*", test, effort, chunk(V, flow.policy))


def turned(S: Interval, form: Interval) -> Interval:
    """S w for a matrix (n, p, 1) and the form (1 + N, B, p) of w."""
    return (form[:, :, None] * S[:, :, 0]).sum()


def vanishing(V: Evaluator, flow: Flow, at: Sequence[Fraction], smooth: bool) -> None:
    """f(x*, pi(x*), d) = 0 for all d, V(x*) = 0 and, if `smooth`, grad V(x*) = 0, as identities of exact forms."""
    algebra, f, policy = symbolic.Algebra(), flow.f.graph, flow.policy.graph
    try:
        u = symbolic.values(policy, at, algebra)[policy.output]
        free = [algebra.free(i) for i in range(flow.f.n - len(at) - len(u))]
        field = symbolic.values(f, [*at, *u, *free], algebra)[f.output]
        found = symbolic.values(V.graph, at, algebra)
        gradient = symbolic.gradient(V.graph, found, algebra) if smooth else []
    except symbolic.Undetermined as reason:
        raise Rejected(f"at the equilibrium: {reason}") from reason
    for name, forms in (("f", field), ("V", found[V.graph.output]), ("grad V", gradient)):
        if any(forms):
            raise Rejected(f"{name} is not identically zero at the equilibrium; {equilibrium.ADVICE}")
