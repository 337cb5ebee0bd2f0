"""Tests of claims on the next state y = F(x, d) of x, on boxes (B, N) of z = (x, d) with the midpoint m, e = z - m.

    y = F(m) + A e,   w(z) = offset + factor V(x) - V(y),

with A in the enclosure of Clarke's Jacobian. Of a graph F, w is a form of second order (taylor.py): the form of y goes
through the graph of V. For other maps three enclosures of w are intersected: the natural one; the mean value form, with
the gradient of V(F(x, d)) by the chain rule; and, with p = F(m), H in [Hess V] over the box of the states x
and K in [Hess V] over a box that holds all y (and p, hence the segments between),

    V(y) = V(p) + grad V(p).A e + (A e)'K (A e) / 2,
    w = w(m) + (factor grad V(m) - A' grad V(p)).e + e'(factor H - A'K A) e / 2.

At a kink of V the last one is void, and where F switches the last two are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ctrlnet.checker.enclosures import (
    Enclosed,
    Function,
    form_of,
    formed,
    hessian,
    jacobian,
    magnitude,
    outer,
    padded,
    symmetric,
)
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Outcome, middle
from ctrlnet.checker.taylor import add, constant, multiply, negative
from ctrlnet.checker.taylor_rules import evaluate


class Step(NamedTuple):
    """V(x), w = offset + factor V(x) - V(y), and y itself with its value at the midpoint, each (B, n), on boxes."""

    V: Enclosed
    w: Enclosed
    next: Interval
    next_middle: Interval
    doubt: Interval

    def inside(self, X: Interval) -> Outcome:
        """The claim that y lies in the closed box X (n,)."""
        y, p = self.next, self.next_middle
        proved = ((y.lo >= X.lo) & (y.hi <= X.hi)).all(1)
        refuted = ((p.hi < X.lo) | (p.lo > X.hi)).any(1)
        return Outcome(np.asarray(proved), np.asarray(refuted), magnitude(self.doubt).max(0).T)


def step(V: Evaluator, F: Function, box: Interval, factor: Interval, offset: Interval) -> Step:
    """Enclose one step from all states and disturbances of boxes (B, N); factor and offset of shape (1,)."""
    if not isinstance(F, Evaluator):
        return expanded(V, F, box, factor, offset)
    v, y = form_of(V, box).forms[0], form_of(F, box)
    fall = add(multiply(constant(factor[None], v.n), v), negative(evaluate(V, y).forms[0]))
    w, form = add(constant(offset[None], v.n), fall), y.forms[0].over(box)
    ramp, p = np.abs(form.linear.transpose(2, 0, 1)), F(middle(box), 0)[0]
    return Step(formed(v, box), formed(w, box), y.range.broadcast(*form.rest.shape), p, Interval(ramp, ramp))


def expanded(V: Evaluator, F: Function, box: Interval, factor: Interval, offset: Interval) -> Step:
    """The same for any map, by the expansions above."""
    (n, N), centre = (V.n, box.shape[1]), middle(box)
    e, f, p = (box - centre).T, F(box, 1), F(centre, 0)
    A = jacobian(f)
    ramp = A * e
    y = f[0].within(p[0] + ramp.sum(1).T)
    v, v_m = V(box[:, :n], 2)[:, :, 0], V(centre[:, :n], 1)[:, :, 0]
    v_y, v_p = V(y, 2)[:, :, 0], V(p[0], 1)[:, :, 0]
    composed = V(box, 1, stack([y[None], f[1:]]))[:, :, 0]
    gradient, g, q = padded(v[1 : 1 + n], (N,)), padded(v_m[1:], (N,)), v_p[1:]
    at_middle = offset + factor * v_m[0] - v_p[0]
    slope = factor * gradient - composed[1:]
    slope_m = factor * g - (A * q[:, None]).sum(0)
    bend = (padded(hessian(v, n), (N, N)) * factor - congruence(hessian(v_y, n), A)).scaled(0.5) * outer(e)
    w = (offset + factor * v[0] - composed[0]).within(at_middle + (slope * e).sum(0))
    w = w.within(at_middle + (slope_m * e).sum(0) + bend.sum(0).sum(0))
    rise = gradient * e
    return Step(
        Enclosed(v[0].within(v_m[0] + rise.sum(0)), v_m[0], magnitude(rise).T),
        Enclosed(w, at_middle, (magnitude(slope) * magnitude(e)).T),
        y, p[0], ramp,
    )  # fmt: skip


def congruence(K: Interval, A: Interval) -> Interval:
    """Symmetric part (N, N, B) of A'K A for all K in interval matrices (n, n, B) and A in (n, N, B)."""
    KA = (K[:, :, None] * A[None]).sum(1)
    return symmetric((A[:, :, None] * KA[:, None]).sum(0))
