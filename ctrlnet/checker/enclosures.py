"""Tests of one claim on many boxes: natural enclosures, expansions about the midpoint m with d = z - m, and forms of
second order (taylor.py), which cost about twice as much and, in more than `FEW` variables, prove far larger boxes.

The variables are z = x, the state, or z = (x, d), the state and the disturbance. A locally Lipschitz f has
f(z) = f(m) + a.d with a in the enclosure of Clarke's gradient over the box. The derivative along a field, G = grad V.F
+ rate V, combines three expansions, with H, K in [Hess V], A in [DF] over the box (H n x N, zero in the columns of the
disturbance),

    grad V = grad V(m) + H d,   F = F(m) + A d,   V = V(m) + grad V(m).d + d'K d / 2,
    G = G(m) + (A' grad V(m) + H' F(m) + rate grad V(m)).d + d'(H'A + rate K / 2) d.

At a kink of V, Hess V is unbounded and this is void; at a kink of F, DF is Clarke's hull. Where F or V switches, the
value is the hull of both sides, and derivatives are unbounded.

Forms give G as the derivative of V along F: the form of F goes through the graph of V (taylor_rules.py). They need
graphs. It is not enough that V does not read an entry of F that is undefined: there is no solution then.

Source: Lebourg's theorem, in Clarke, Optimization and Nonsmooth Analysis (1983), Thm 2.3.7, by rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctrlnet.checker.interval import Array, Interval, Mask
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Outcome, every, middle
from ctrlnet.checker.taylor import Form, add, constant, entries, multiply, variables
from ctrlnet.checker.taylor_ranges import centred, span, tight
from ctrlnet.checker.taylor_rules import Value, evaluate

Function = Callable[[Interval, int], Interval]
"""A function of boxes (B, N) and of the order, 0 or 1, to jets (1, B, m) or (1 + N, B, m); an `Evaluator` is one."""
Reading = Callable[[Interval], Mask]
"""What an enclosure (B, m) of values shows, for each of the B boxes."""
ZERO = Interval(np.zeros(1), np.zeros(1))
FEW = 2
"""In so many variables expansions are quicker than forms, and prove nearly as much."""


class Enclosed(NamedTuple):
    """A scalar function enclosed over boxes (B,), at their midpoints (B,), and the doubt of each dimension (B, N)."""

    value: Interval
    middle: Interval
    doubt: Array

    def positive(self) -> Outcome:
        """The claim that it is positive."""
        return Outcome(self.value.lo > 0, self.middle.hi <= 0, self.doubt)

    def negative(self) -> Outcome:
        """The claim that it is negative."""
        return Outcome(self.value.hi < 0, self.middle.lo >= 0, self.doubt)

    def open(self) -> Mask:
        """Where neither is shown."""
        return ~((self.value.lo > 0) | (self.value.hi < 0))


def formed(form: Form, box: Interval) -> Enclosed:
    """A scalar from its form of second order: `tight` where its sign is open."""
    form, width = form.over(box), box.hi - box.lo
    value, share = span(form)[:, 0], width / width.max(1, keepdims=True)
    doubt = np.abs(form.linear[:, :, 0].T) + np.abs(form.matrices()).sum(2) + form.rest * share
    found = Enclosed(value, centred(form)[:, 0], doubt)
    open_ = found.open()
    if open_.any():
        narrowed(value, open_, tight(form.of(open_)))
    return found


def narrowed(a: Interval, where: Mask, b: Interval) -> None:
    """Intersect entries of a with b, in place; where one is NaN the other holds."""
    a.lo[where], a.hi[where] = np.fmax(a.lo[where], b.lo), np.fmin(a.hi[where], b.hi)


def form_of(f: Evaluator, box: Interval) -> Value:
    """A graph over boxes (B, N), a function of the first n of N variables."""
    return evaluate(f, Value([entries(variables(box), slice(f.n))], box[:, : f.n]))


def judged(f: Function, box: Interval, proves: Reading, refutes: Reading) -> Outcome:
    """A claim on the values of f, by its natural enclosure, its mean value form, its form of second order."""
    proved = proves(f(box, 0)[0])
    refuted, doubt, left = np.zeros_like(proved), np.zeros(box.shape), ~proved
    if left.any():
        part = box[left]
        jet, at_middle = f(part, 1), f(middle(part), 0)[0]
        d = (part - middle(part)).T[:, :, None]
        better = jet[0].within(at_middle + (jet[1:] * d).sum(0))
        proved[left], refuted[left] = proves(better), refutes(at_middle)
        doubt[left] = (magnitude(jet[1:]) * magnitude(d)).max(2).T
    left = ~(proved | refuted)
    if left.any() and isinstance(f, Evaluator):
        part = box[left]
        proved[left] = proves(tight(form_of(f, part).forms[0].over(part))[:, None])
    return Outcome(proved, refuted, doubt)


def above(f: Function, box: Interval, level: Interval) -> Outcome:
    """f > level, for f of size 1 and level of shape (1,)."""
    return judged(f, box, lambda y: y.lo[:, 0] > level.hi, lambda y: y.hi[:, 0] <= level.lo)


def below(f: Function, box: Interval, level: Interval) -> Outcome:
    """f < level."""
    return judged(f, box, lambda y: y.hi[:, 0] < level.lo, lambda y: y.lo[:, 0] >= level.hi)


def outside(f: Function, box: Interval, inner: Interval, outer: Interval) -> Outcome:
    """f < inner on the whole box, or f > outer on the whole box, where inner <= outer."""
    return judged(
        f, box, lambda y: (y.hi[:, 0] < inner.lo) | (y.lo[:, 0] > outer.hi),
        lambda y: (y.lo[:, 0] >= inner.hi) & (y.hi[:, 0] <= outer.lo),
    )  # fmt: skip


def inward(F: Function, box: Interval, axis: int, upper: bool) -> Outcome:
    """F points strictly into the box X: F_i > 0 on the lower face of axis i, F_i < 0 on the upper one."""

    def component(part: Interval, order: int) -> Interval:
        return F(part, order)[:, :, [axis]]

    return (below if upper else above)(component, box, ZERO)


def decrease(V: Evaluator, F: Evaluator, box: Interval, rate: Interval, positive: bool = True) -> Outcome:
    """V(x) > 0 (if `positive`), and g.F + rate V < 0 for every g in Clarke's gradient of V at x, on boxes (B, N)."""
    value, derivative = flow(V, F, box, rate)
    return every(derivative.negative(), value.positive()) if positive else derivative.negative()


def increase(h: Evaluator, F: Evaluator, box: Interval, rate: Interval) -> Outcome:
    """g.F + rate h > 0 for every g in Clarke's gradient of h at x, on boxes (B, N)."""
    return flow(h, F, box, rate)[1].positive()


def flow(V: Evaluator, F: Function, box: Interval, rate: Interval) -> tuple[Enclosed, Enclosed]:
    """V and G = g.F + rate V on boxes (B, N), for every g in Clarke's gradient of V, a function of the first n.

    By forms of second order where F is a graph; in `FEW` variables only where expansions leave the sign of G open.
    """
    if not isinstance(F, Evaluator):
        return expanded(V, F, box, rate)
    if box.shape[1] > FEW:
        return _formed(V, F, box, rate)
    found = expanded(V, F, box, rate)
    open_ = found[1].open()
    if open_.any():
        for mine, other in zip(found, _formed(V, F, box[open_], rate), strict=True):
            narrowed(mine.value, open_, other.value)
    return found


def _formed(V: Evaluator, F: Evaluator, box: Interval, rate: Interval) -> tuple[Enclosed, Enclosed]:
    x, f = entries(variables(box), slice(V.n)), form_of(F, box)
    v, slope = evaluate(V, Value([x, f.forms[0]], box[:, : V.n])).forms
    G = formed(add(slope, multiply(constant(rate[None], x.n), v)), box)
    return formed(v, box), G._replace(value=undefined(G.value, unknown(f.range)))


def unknown(a: Interval) -> Mask:
    """Boxes on which some entry of (B, m) is undefined, though nothing may depend on that entry."""
    return np.asarray((np.isnan(a.lo) | np.isnan(a.hi)).any(1))


def expanded(V: Evaluator, F: Function, box: Interval, rate: Interval) -> tuple[Enclosed, Enclosed]:
    """The same by expansions about the midpoint.

    Where the gradient is unbounded G is NaN: there V(x(t)) need not be absolutely continuous.
    """
    (n, N), centre = (V.n, box.shape[1]), middle(box)
    v, f = V(box[:, :n], 2)[:, :, 0], F(box, 1)
    v_centre, f_centre, d = V(centre[:, :n], 1)[:, :, 0], F(centre, 0)[0].T, (box - centre).T
    g, gradient, H, A = v_centre[1:], v[1 : 1 + n], padded(hessian(v, n), (n, N)), jacobian(f)
    at_middle = (g * f_centre).sum(0) + rate * v_centre[0]
    natural = undefined((gradient * f[0].T).sum(0) + rate * v[0], unbounded(gradient))
    slope = (A * g[:, None]).sum(0) + (H * f_centre[:, None]).sum(0) + padded(rate * g, (N,))
    bend = (product(H, A) + padded(H, (N, N)).scaled(0.5) * rate) * outer(d)
    G = natural.within(at_middle + (slope * d).sum(0) + bend.sum(0).sum(0))
    ramp = gradient * d[:n]
    value = v[0].within(v_centre[0] + ramp.sum(0))
    doubt = magnitude(slope) * magnitude(d) + magnitude(bend).sum(0)
    return (
        Enclosed(value, v_centre[0], magnitude(padded(ramp, (N,))).T),
        Enclosed(G, at_middle, doubt.T),
    )


def product(H: Interval, A: Interval) -> Interval:
    """Symmetric part (N, N, B) of H'A for all H and A in interval matrices (n, N, B)."""
    return symmetric((H[:, :, None] * A[:, None, :]).sum(0))


def symmetric(a: Interval) -> Interval:
    """Symmetric part of interval matrices (N, N, B)."""
    return (a + Interval(a.lo.swapaxes(0, 1), a.hi.swapaxes(0, 1))).scaled(0.5)


def outer(d: Interval) -> Interval:
    """d_j d_k, shape (N, N, B), with squares on the diagonal."""
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
    """DF (n, N, B), row i that of F_i, from the jet (1 + N, B, n)."""
    return Interval(f.lo[1:].transpose(2, 0, 1), f.hi[1:].transpose(2, 0, 1))


def padded(a: Interval, shape: tuple[int, ...]) -> Interval:
    """With zeros where the disturbance is concerned: `shape` of all axes but the last, which counts boxes."""
    if a.shape[:-1] == shape:
        return a
    missing = [(0, size - have) for size, have in zip(shape, a.shape, strict=False)]
    return Interval(*(np.pad(bound, [*missing, (0, 0)]) for bound in (a.lo, a.hi)))


def unbounded(a: Interval) -> Mask:
    """Boxes (B,) on which a part of a (m, B) is infinite or undefined."""
    return np.asarray(~(np.isfinite(a.lo) & np.isfinite(a.hi)).all(0))


def undefined(a: Interval, where: Mask) -> Interval:
    """NaN on the boxes chosen."""
    return Interval(np.where(where, np.nan, a.lo), np.where(where, np.nan, a.hi))


def magnitude(a: Interval) -> Array:
    """Largest absolute value, for choosing where to bisect."""
    return np.maximum(np.abs(a.lo), np.abs(a.hi))
