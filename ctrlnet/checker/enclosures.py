"""Tests of one claim on many boxes: natural enclosures, and expansions about the midpoint m with d = x - m.

A locally Lipschitz f has f(x) = f(m) + a.d with a in the enclosure of Clarke's gradient over the box. The decrease
G = grad V.F + rate V combines three expansions, with H, K in [Hess V] and A in [DF] over the box,

    grad V = grad V(m) + H d,   F = F(m) + A d,   V = V(m) + grad V(m).d + d'K d / 2,
    G = G(m) + (A' grad V(m) + H' F(m) + rate grad V(m)).d + d'(H'A + rate K / 2) d.

At a kink of V, Hess V is unbounded and this is void; at a kink of F, DF is Clarke's hull.

Source: Lebourg's theorem, in Clarke, Optimization and Nonsmooth Analysis (1983), Thm 2.3.7, by rows.
"""

from __future__ import annotations

import numpy as np

from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Outcome, middle
from ctrlnet.checker.report import Rejected


def above(f: Evaluator, box: Interval, level: Interval) -> Outcome:
    """f(x) > level on boxes (B, n), for f of size 1 and level of shape (1,)."""
    proved = f(box, 0).lo[0, :, 0] > level.hi
    refuted, doubt, left = np.zeros_like(proved), np.zeros(box.shape), ~proved
    if left.any():
        part = box[left]
        jet, at_middle = f(part, 1)[:, :, 0], f(middle(part), 0)[0, :, 0]
        d = (part - middle(part)).T
        better = jet[0].within(at_middle + (jet[1:] * d).sum(0))
        proved[left], refuted[left] = better.lo > level.hi, at_middle.hi <= level.lo
        doubt[left] = (magnitude(jet[1:]) * magnitude(d)).T
    return Outcome(proved, refuted, doubt)


def decrease(V: Evaluator, F: Evaluator, box: Interval, rate: Interval) -> Outcome:
    """V(x) > 0, and g.F(x) + rate V(x) < 0 for every g in Clarke's gradient of V at x, on boxes (B, n)."""
    centre, n = middle(box), V.n
    v, f = V(box, 2)[:, :, 0], F(box, 1)
    v_centre, f_centre, d = V(centre, 1)[:, :, 0], F(centre, 0)[0].T, (box - centre).T
    gradient, H, A = v[1 : 1 + n], hessian(v, n), jacobian(f)
    g = v_centre[1:]
    at_middle = (g * f_centre).sum(0) + rate * v_centre[0]
    natural = (gradient * f[0].T).sum(0) + rate * v[0]
    slope = (A * g[:, None]).sum(0) + (H * f_centre[:, None]).sum(0) + rate * g
    bend = curvature(H, A, rate) * outer(d)
    decreasing = natural.within(at_middle + (slope * d).sum(0) + bend.sum(0).sum(0)).hi < 0
    positive = v[0].within(v_centre[0] + (gradient * d).sum(0)).lo > 0
    doubt = magnitude(slope) * magnitude(d) + magnitude(bend).sum(0)
    doubt = np.where(decreasing, magnitude(gradient) * magnitude(d), doubt).T
    return Outcome(positive & decreasing, (at_middle.lo >= 0) | (v_centre[0].hi <= 0), doubt)


def quadratic_forms(V: Evaluator, F: Evaluator, box: Interval, rate: Interval) -> tuple[Interval, Interval]:
    """Enclosures (n, n) of Hess V, and of the symmetric part of H'A + rate K / 2, over one box (1, n)."""
    v, f = V(box, 2)[:, :, 0], F(box, 1)
    for name, jet in (("V", v), ("F", f)):
        if not (np.isfinite(jet.lo).all() and np.isfinite(jet.hi).all()):
            raise Rejected(f"{name} is undefined or has a kink somewhere on the box R around the equilibrium")
    H = hessian(v, V.n)
    return H[:, :, 0], curvature(H, jacobian(f), rate)[:, :, 0]


def curvature(H: Interval, A: Interval, rate: Interval) -> Interval:
    """Symmetric part of H'A + rate K / 2 for all H, K in [H] and A in [A], each (n, n, B)."""
    product = (H[:, :, None] * A[:, None, :]).sum(0)
    swapped = Interval(product.lo.swapaxes(0, 1), product.hi.swapaxes(0, 1))
    return (product + swapped).scaled(0.5) + H.scaled(0.5) * rate


def outer(d: Interval) -> Interval:
    """d_j d_k, shape (n, n, B), with squares on the diagonal."""
    result, square, i = d[:, None] * d[None, :], d.square(), np.arange(len(d.lo))
    result.lo[i, i], result.hi[i, i] = square.lo, square.hi
    return result


def hessian(v: Interval, n: int) -> Interval:
    """Hess V (n, n, B) from the jet (K, B) of order 2."""
    row = np.diag(np.arange(n))
    i, j = np.triu_indices(n, 1)
    row[i, j] = row[j, i] = n + np.arange(len(i))
    return v[1 + n + row]


def jacobian(f: Interval) -> Interval:
    """DF (n, n, B), row i that of F_i, from the jet (1 + n, B, n)."""
    return Interval(f.lo[1:].transpose(2, 0, 1), f.hi[1:].transpose(2, 0, 1))


def magnitude(a: Interval) -> Array:
    """Largest absolute value, for choosing where to bisect."""
    return np.maximum(np.abs(a.lo), np.abs(a.hi))
