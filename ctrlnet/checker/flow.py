"""The map x -> x(T) of a zero-order hold, x' = f(x, u) with u = pi(x(0)) held on [0, T], enclosed over boxes.

With a disturbance x' = f(x, u, d(t)), for any measurable d(t) in a box D, all is said of one d(t), and enclosures of f
and its derivatives are over D too: f(Z, U) is f(Z, U, D). What Taylor's formula and f2 say is for no disturbance alone;
disturbed_flow.py has something in their place.

A priori. Let B be a box of x(0), U contain pi(B), and B + [0, T] f(Z, U) lie in the interior of a box Z. A solution
from B stays in B + [0, T] f(Z, U) up to T, as it would leave that before it leaves Z. Let Z now be any box known to
hold all solutions from B up to T: so does every enclosure below. If f(., u) is Lipschitz near it, there is one solution
from each x(0), and it exists on [0, T]. Finite enclosures of the derivatives of f over Z show that; as those by d are
finite too, f(x, u, d(t)) is measurable in t (Caratheodory). x(t) lies in B + [0, T] f(B, U) + [0, T^2/2] Df f too, the
product of enclosures over Z and U: f(x(t), u, d(t)) - f(x(0), u, d(t)) is in Df (x(t) - x(0)), x(t) - x(0) in t f.

Taylor. With f2 = Df f and f3 = Df2 f, D in x alone, at (x(0), u) where no box is named, for t in [0, T]
    x(t) = x + t f + (t^2/2) w2,    x(t) = x + t f + (t^2/2) f2 + (t^3/6) w3,    w2 in f2(Z, U), w3 in f3(Z, U).
The first holds where f has kinks: f(x(t), u) is Lipschitz in t, its derivative is almost everywhere in Df f with
Clarke's Df. At kinks the Hessian of f is unbounded, and so is the enclosure of f3.

Slopes. Let x and y be solutions from B, e = x(0) - y(0), A in [Df](Z, U), C in [df/du](Z, U) [Dpi](B), M a box of
matrices that contains I + [0, T] (A M + C). By the mean value theorem (Lebourg's), row by row, pi(x(0)) - pi(y(0)) is
in [Dpi](B) e, and x' - y' = A (x - y) + C e at any time. So the distance of x' - y' from the convex set (A M + C) e is
at most |A| times that of x - y from M e, which is at most the integral of the former: both are zero (Gronwall). Hence
x(t) - y(t) = (I + t N) e with N in A M + C, and, put into the integral again and again,
    x(T) - y(T) = (I + T (A + C) + (T^2/2) A (A + C) + ... + (T^k/k!) A^(k-1) N) e.
So it is with a disturbance, if x and y have the same d(t). Without one, and where f2 is differentiable,
    x(T) - y(T) = (I + T (A + C) + (T^2/2) (Df2 + E) + (T^3/6) Df2 N) e,
too, with A, C over B, Df2 and E = (df2/du) [Dpi](B) over Z: the integral of (T - t) (Df2 (I + t N) + E). Factors are
taken at different times: a product is a mean over these of products of members of boxes, so it is in the interval
product. That holds of every term by itself. A + C + (T/2) A (A + C + ...), evaluated as it stands, may be too narrow:
A X + A' Y with different A, A' of a box need not be in the box times the sum of the boxes of X and Y.

Apart. Let x and y be solutions from B under any u and v of U, and w = (x(0) - y(0), u - v). Then x' - y' = A (x - y)
+ C w with A as above and C = (0, df/du) over Z and U. So all of the above, but the last formula, holds with w for e,
(I, 0) for I and (A, df/du) for A + C: the policy's slopes, a wide box at a kink, have no part in it.

Source: Moore, Interval Analysis (1966), ch. 11; Nedialkov, Jackson, Corliss, Validated solutions of initial value
problems, Appl. Math. Comput. 105 (1999); Clarke, Optimization and Nonsmooth Analysis (1983), Thms 2.3.7, 2.3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ctrlnet.checker.document import fields
from ctrlnet.checker.enclosures import hessian, jacobian, outer
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval, Mask, choose, down, stack, up
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import middle
from ctrlnet.checker.report import Unreadable
from ctrlnet.checker.statement import NONE

GROWTHS = 30
"""Most boxes Z, or M, tried."""
GROWTH = 0.05
"""Each is larger than what the one before leads to by this share of its width, at either end."""
TIGHTENINGS = 4
TERMS = 4
"""Powers of A in the slopes."""


class Held(NamedTuple):
    """Over boxes B (B, n) of x(0): U (B, m), [Dpi] (m, n, B), Z (B, n), jets of f over B x U x D (order 1) and over
    Z x U x D (order 2)."""

    control: Interval
    gain: Interval
    hull: Interval
    near: Interval
    far: Interval


class Flow:
    """The map x -> x(T), called like an `Evaluator`; NaN where a solution is not shown to exist. D has shape (1, k)."""

    def __init__(self, f: Evaluator, policy: Evaluator, period: Fraction, D: Interval = NONE) -> None:
        self.f, self.policy, self.n, self.D, self.c = f, policy, policy.n, D, middle(D)
        self.T, self.half, self.sixth = (Interval.of([value]) for value in (period, period**2 / 2, period**3 / 6))
        self.over = [Interval.of([period / (k + 1)]) for k in range(TERMS + 1)]

    def __call__(self, box: Interval, order: int) -> Interval:
        """x(T) over boxes (B, n), shape (1, B, n); for order 1 the slopes too, (1 + n, B, n). Without disturbance."""
        held = self.held(box)
        (v, J, _), (v_far, J_far, H) = self._parts(held.near), self._parts(held.far)
        f2 = along(J_far, v_far)
        f3 = (H[:, : self.n] * outer(v_far)[..., None]).sum(0).sum(0) + along(J_far, f2.T)
        start = box + held.near[0] * self.T
        value = (start + f2 * self.half).within(start + along(J, v) * self.half + f3 * self.sixth)[None]
        if order == 0:
            return value
        slopes = self._curved(held)
        return stack([value, Interval(slopes.lo.transpose(1, 2, 0), slopes.hi.transpose(1, 2, 0))])

    def held(self, box: Interval) -> Held:
        """What can happen in one period from each box; NaN where no box Z is found or f is not Lipschitz there."""
        centre, u = middle(box), self.policy(box, 1)
        gain = jacobian(u)
        control = u[0].within(self.policy(centre, 0)[0] + (gain * (box - centre).T).sum(1).T)
        near = self.f(beside(box, control, self.D), 1)
        hull = contained(box, lambda z: moved(box, self.f(beside(z, control, self.D), 0)[0], self.T), (1,))
        v, J, _ = self._parts(self.f(beside(hull, control, self.D), 1))
        hull = hull.within(moved(moved(box, near[0], self.T), along(J, v), self.half))
        far = self.f(beside(hull, control, self.D), 2)
        first = far[: 1 + self.f.n]
        known = np.asarray((np.isfinite(first.lo) & np.isfinite(first.hi)).all((0, 2)))[:, None] & np.isfinite(hull.lo)
        return Held(control, gain, hull.undefined(~known), near, far.undefined(~known))

    def stays(self, box: Interval, X: Interval) -> Mask:
        """From which boxes (B, n) every solution is shown to stay in the box X (n,) during one period."""
        hull = self.held(box).hull
        return np.asarray(((hull.lo >= X.lo) & (hull.hi <= X.hi)).all(1))

    def _parts(self, jet: Interval) -> tuple[Interval, Interval, Interval]:
        """f (n, B), its derivatives by x (n, B, n) and, of a jet of order 2, those by x, then (x, u)."""
        N = self.f.n
        second = hessian(jet, N)[: self.n] if len(jet.lo) > 1 + N else jet[:0]
        return jet[0].T, jet[1 : 1 + self.n], second

    def slopes(self, held: Held) -> tuple[Interval, Interval, Interval, Interval]:
        """I, L = A + C, the rest r of the series, and N: x(T) - y(T) = (I + T (L + r)) (x - y)(0), each (n, p, B)."""
        derivative = jacobian(held.far[: 1 + self.f.n])
        A, C = self.by_state(derivative, held.gain)
        identity = np.broadcast_to(np.eye(self.n, C.shape[1])[:, :, None], C.shape)
        unit = Interval(identity, identity)
        M = contained(unit, lambda m: unit + (product(A, m) + C) * since(self.T), (0, 1))
        N = product(A, M) + C
        first = term = self.turn(derivative, held.gain)
        last, rest = N, Interval.of([Fraction(0)])
        for k in range(1, TERMS + 1):
            term, last = product(A, term) * self.over[k], product(A, last) * self.over[k]
            rest = rest + (term if k < TERMS else last)
        return unit, first, rest, N

    def apart(self, held: Held) -> tuple[Interval, list[Interval]]:
        """S and P_1, ..., P_k: (x - y)(T) = (S + sum_j P_j (m_j - c_j)) (x - y, u - v)(0), each (n, n + m, B)."""
        m, boxes = len(held.gain.lo), len(held.hull.lo)
        itself = np.broadcast_to(np.eye(m, self.n + m, self.n)[:, :, None], (m, self.n + m, boxes))
        held = held._replace(gain=Interval(itself, itself))
        unit, first, rest, _ = self.slopes(held)
        at_c, changes = self.by_mean(held, first)
        known = np.asarray(np.isfinite(at_c.lo) & np.isfinite(at_c.hi))
        mean = choose(known, at_c, ~known, first, first)
        return unit + (mean + rest) * self.T, [(P * self.T).replaced(~known, 0.0, 0.0) for P in changes]

    def by_mean(self, held: Held, first: Interval) -> tuple[Interval, list[Interval]]:
        """L = L_c + sum_j P_j (m_j - c_j) for the mean m of d(t): L_c and every P_j. Without disturbance L itself."""
        return first, []

    def _curved(self, held: Held) -> Interval:
        """The same, by the derivatives of f2 too."""
        unit, first, rest, N = self.slopes(held)
        A, C = self.by_state(jacobian(held.near), held.gain)
        v, J, H = self._parts(held.far)
        bent = along(H, v[:, None]) + along(J[:, None], jacobian(held.far[: 1 + self.f.n]))
        D, E = self.by_state(Interval(bent.lo.transpose(2, 0, 1), bent.hi.transpose(2, 0, 1)), held.gain)
        taylor = unit + (A + C) * self.T + (D + E) * self.half + product(D, N) * self.sixth
        return (unit + (first + rest) * self.T).within(taylor)

    def by_state(self, derivative: Interval, gain: Interval) -> tuple[Interval, Interval]:
        """The derivative (n, n + m + k, B) by x, (n, n, B), and by u times the gain (m, p, B), (n, p, B)."""
        return derivative[:, : self.n], product(derivative[:, self.n : self.n + len(gain.lo)], gain)

    def turn(self, derivative: Interval, gain: Interval) -> Interval:
        """A + C (n, p, B), A in the first n columns."""
        A, C = self.by_state(derivative, gain)
        return stack([A + C[:, : self.n], C[:, self.n :]], axis=1)


def evaluators(graphs: Mapping[str, Any], n: int, k: int, elementary: Elementary) -> dict[str, Evaluator]:
    """V, the policy and f, whose inputs are x, u and d (k of them), of a file, in its order, ready to be enclosed."""
    content = fields(graphs, ("V", "f", "policy"), "graphs")
    V, policy = (read_graph(content[name], n, name) for name in ("V", "policy"))
    f = read_graph(content["f"], n + policy.size + k, "f")
    if (V.size, f.size) != (1, n):
        raise Unreadable(f"V must have size 1 and f size {n}")
    inputs = {"V": (V, n), "policy": (policy, n), "f": (f, n + policy.size + k)}
    return {name: Evaluator(*inputs[name], elementary) for name in content}


def contained(start: Interval, image: Callable[[Interval], Interval], axes: tuple[int, ...]) -> Interval:
    """Boxes Z with `image` in their interior, an enclosure of start + [0, T] g(Z), then intersected with it.

    NaN where none is found. Entries along `axes` belong to one box.
    """
    z = start
    for _ in range(GROWTHS):
        y = image(z)
        inside = _inside(y, z, axes)
        if inside.all():
            break
        slack = GROWTH * (y.hi - y.lo)
        z = Interval(np.where(inside, z.lo, down(y.lo - slack)), np.where(inside, z.hi, up(y.hi + slack)))
    y = image(z)
    z = z.undefined(~_inside(y, z, axes))
    for _ in range(TIGHTENINGS):
        z = z.within(image(z))
    return z


def _inside(y: Interval, z: Interval, axes: tuple[int, ...]) -> Mask:
    return np.asarray(((y.lo > z.lo) & (y.hi < z.hi)).all(axes, keepdims=True))


def moved(start: Interval, velocity: Interval, time: Interval) -> Interval:
    """start + [0, time] velocity; an end that nothing moves beyond stays exactly where it is."""
    end = start + velocity * since(time)
    return Interval(np.where(velocity.lo >= 0, start.lo, end.lo), np.where(velocity.hi <= 0, start.hi, end.hi))


def since(time: Interval) -> Interval:
    """[0, time]."""
    return Interval(np.zeros(1), time.hi)


def beside(x: Interval, u: Interval, d: Interval) -> Interval:
    """Boxes of (x, u, d), d of shape (1, k)."""
    return stack([x, u, d.broadcast(len(x.lo), d.shape[1])], axis=1)


def product(A: Interval, B: Interval) -> Interval:
    """The product of matrices (k, m, B) and (m, n, B)."""
    return (A[:, :, None] * B[None]).sum(1)


def along(J: Interval, v: Interval) -> Interval:
    """sum_j J_j v_j, for J (n, ..., k) and v (n, ...), or v (n, ..., 1) that fits J."""
    return (J * v[..., None]).sum(0)
