"""Control-affine fields f(x, d) + g(x, d) u on boxes, and the choice of one control u in U for each of many boxes of x.

Fields. With w = (1, u) and the columns G = (f, g_1, ..., g_m) the field is F = G w, and so d_k F = (d_k G) w + G d_k w,
on boxes of z = (x, d) where there is a disturbance d in D. u is one number for a box of x, or a function of x.

Choice. A condition asks sign (grad v.F + rate v) > 0: -1 for a function that falls, 1 for a barrier. In u it is affine,
c.w > 0 with c = sign (grad v.G + (rate v, 0)). On a box with midpoint p and half widths r it is to first order at least
c(p).w - sum_i r_i |d_i c(p).w|, which is concave in u; the least of these over the conditions, each relative to its
size, and over the parts of D, is maximised by steps along one or two controls at a time that are halved again and
again. Its edges, at which such steps would stop, are rounded off, less and less with the steps. Whatever u in U comes
out, the conditions are enclosed with it afterwards, for all of D: the choice needs no proof.

Blending. Let W be open, f and g defined near the points of W x D, D compact, each v Lipschitz near those of W, and A(x)
the set of u in U with all conditions at x for every d in D, every member of Clarke's gradient of v and all values of f
and g, both where they switch. Let x* be in the interior of a set R, a Lipschitz law with values in A(x) on R less x*,
and A(x) not empty for x in W less x*. Then W has a locally Lipschitz k that is the law near x* and in A(x) for all x in
W but x*. Proof. {(x, u) : u in A(x)} is open in W x U: if u_i is not in A(x_i), shown by d_i and by members and values
there, and x_i -> x, u_i -> u, some of these converge, as D is compact and gradients and values have closed graph and
are locally bounded, so that u is not in A(x). A(x) is convex, as a condition holds for all members of a set of affine
functions of u. Let B be a closed ball around x* in int R. For y in W less B a u_y in A(y) is in A(x) for all x in a
neighbourhood of y, which avoids B. These and int R, where there is the law, cover W. Let k be the sum of their controls
weighted by a locally Lipschitz partition of unity. Without x* and R the same holds on all of W.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ctrlnet.checker.enclosures import flow, hessian
from ctrlnet.checker.equilibrium import joined
from ctrlnet.checker.forward import parts
from ctrlnet.checker.interval import Array, Interval, Mask, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Outcome, every, middle
from ctrlnet.checker.statement import NONE

Control = Callable[[Interval], Interval]
"""Boxes (B, N) to the jet (1 + N, B, 1 + m) of w = (1, u)."""
HALVINGS = 12
PAIRED = 12
"""Most controls that are stepped two at a time: there are 2 m (m - 1) pairs."""


class Plant(NamedTuple):
    """f of size n, g of size n m by rows, the box U (m,) of the controls, and D (1, k) of the disturbance."""

    f: Evaluator
    g: Evaluator
    U: Interval
    D: Interval = NONE

    def columns(self, box: Interval, order: int) -> Interval:
        """The jet (K, B, n, 1 + m) of G."""
        f, g = self.f(box, order), self.g(box, order)
        return stack([f[..., None], parts(g, f.shape[-1])], axis=-1)


class Condition(NamedTuple):
    """sign (grad v.F + rate v) > 0."""

    v: Evaluator
    rate: Interval
    sign: int


def driven(plant: Plant, control: Control) -> Callable[[Interval, int], Interval]:
    """F = G w under a control, called like an `Evaluator` with order 0 or 1."""

    def field(box: Interval, order: int) -> Interval:
        G, w = plant.columns(box, order), control(box)
        value = (G[0] * w[0][:, None]).sum()[None]
        if order == 0:
            return value
        return stack([value, (G[1:] * w[0][:, None]).sum() + (G[0] * w[1:][:, :, None]).sum()])

    return field


def held(u: Array, N: int) -> Control:
    """Constant controls u (B, m), one for each of the B boxes in N variables."""
    w = np.zeros((1 + N, len(u), 1 + u.shape[1]))
    w[0] = np.concatenate([np.ones((len(u), 1)), u], 1)

    def control(box: Interval) -> Interval:
        if len(box.lo) != len(u):
            raise ValueError(f"{len(u)} controls are held on so many boxes, not on {len(box.lo)}")
        return Interval(w, w)

    return control


def kept(F: Any, conditions: Sequence[Condition], box: Interval) -> Outcome:
    """All conditions, and v > 0 of a function that falls, along a field F on boxes (B, N) of (x, d)."""
    claims = []
    for v, rate, sign in conditions:
        value, change = flow(v, F, box, rate)
        claims += [change.positive()] if sign > 0 else [change.negative(), value.positive()]
    return every(*claims)


def chosen(
    plant: Plant, conditions: Sequence[Condition], box: Interval, D: Sequence[Interval] = (NONE,)
) -> tuple[Array, Mask]:
    """A control (B, m) in U for each box and all parts of D, and where no u in U keeps some condition at a midpoint."""
    found = [form for part in D for form in _forms(plant, conditions, joined(box, part))]
    hopeless = [(c[:, 0] + (c[:, 1:] * plant.U).sum()).hi <= 0 for c, _ in found]
    lower, upper = plant.U.lo, plant.U.hi
    reach = np.concatenate([[1.0], np.maximum(np.abs(lower), np.abs(upper))])
    forms = [form for _, form in found]
    scales = [np.abs(form).sum(0) @ reach + 1e-300 for form in forms]

    def least(u: Array, smooth: float) -> Array:
        """The relative margin to first order, (C, B), of controls (C, B, m), with |v| as sqrt(v^2 + smooth^2)."""
        w = np.concatenate([np.ones((*u.shape[:2], 1)), u], -1)
        values = [np.einsum("kbj,cbj->kcb", form, w) / scale for form, scale in zip(forms, scales, strict=True)]
        margins = [v[0] - np.sqrt(v[1:] ** 2 + smooth**2).sum(0) for v in values]
        return np.asarray(-smooth * np.logaddexp.reduce(-np.array(margins) / smooth, axis=0))

    u = _maximiser(least, lower, upper, len(box.lo))
    return np.clip(u, lower, upper), np.any(hopeless, axis=0)  # in U, however it was found


def _forms(plant: Plant, conditions: Sequence[Condition], box: Interval) -> Iterator[tuple[Interval, Array]]:
    """Of each condition c (B, 1 + m) at the midpoints, enclosed, and (1 + N, B, 1 + m), not enclosed: c, r_i d_i c."""
    centre, half = middle(box), 0.5 * box.hi - 0.5 * box.lo
    G = plant.columns(centre, 1)
    for condition in conditions:
        c, slopes = affine(condition, G, centre)
        yield c, np.concatenate([_mid(c)[None], slopes * half.T[:, :, None]])


def affine(condition: Condition, G: Interval, centre: Interval) -> tuple[Interval, Array]:
    """c (B, 1 + m) at the midpoints (B, N), enclosed, and its derivatives (N, B, 1 + m), not enclosed."""
    n, N = condition.v.n, centre.shape[1]
    v = condition.v(centre, 2)[:, :, 0]
    slope, sign = v[1 : 1 + n], float(condition.sign)
    c = (slope.T[:, :, None] * G[0]).sum(1)
    c = stack([c[:, :1] + (v[0] * condition.rate)[:, None], c[:, 1:]], axis=1)
    middle_slope, H, columns = _mid(slope), _mid(hessian(v, N)[:, :n]), _mid(G)
    slopes = np.einsum("ikb,bkj->ibj", H, columns[0]) + np.einsum("kb,ibkj->ibj", middle_slope, columns[1:])
    slopes[:, :, 0] += _mid(condition.rate)[0] * _mid(v[1 : 1 + N])
    return c.scaled(sign), sign * slopes


def _mid(a: Interval) -> Array:
    return np.nan_to_num(0.5 * a.lo + 0.5 * a.hi, nan=0.0, posinf=0.0, neginf=0.0)


def _maximiser(score: Callable[[Array, float], Array], lower: Array, upper: Array, count: int) -> Array:
    """Controls (count, m) in the box, near the maximum of a concave score of (C, count, m), from its centre."""
    m, rows = len(lower), np.arange(count)
    signed = [*np.eye(m), *-np.eye(m)]
    pairs = itertools.combinations(signed, 2) if m <= PAIRED else ()
    double = [a + b for a, b in pairs if (a + b).any()]
    steps = np.stack([np.zeros(m), *signed, *double])
    u = np.broadcast_to(0.5 * lower + 0.5 * upper, (count, m))
    for k in sorted([*range(1, HALVINGS + 1)] * 2):
        tried = np.clip(u + (steps * (0.5**k * (upper - lower)))[:, None], lower, upper)
        u = tried[score(tried, 0.5 ** (k + 1)).argmax(0), rows]
    return u
