"""The map x -> x(T) of a zero-order hold under a disturbance: x' = f(x, u, d(t)), u = pi(x(0)), d(t) in D measurable.

What flow.py says of the box Z, U, and slopes under one d(t) holds. Let c be in D, f, A = df/dx, J = df/dd be taken at
(x(0), u, c) where no box is named (J any member of Clarke's Jacobian), and let F enclose f over Z x U x D.

The mean. At x(0) the velocity f(x(0), u, d(t)) varies with t, and its mean over [0, T] need not be a value of f at any
one d: the mean of d^2 is 1 for a d(t) that switches between -1 and 1, whose own mean is 0. Nothing may be concluded
from constant d therefore, and for f affine in d only to first order in T. But with q = d(t) - c,
    f(x(0), u, d(t)) = f + J q + r,    r in R: ([J](B, U, D) - J) (D - c), and (D - c)'[H_dd] (D - c) / 2,
by the mean value theorem, and Taylor's formula where f is C^2. Let m be the mean of d(t), in D by convexity. As means
of members of a closed convex set lie in it, so does that of r in R, and as x(t) - x(0) is in t F,
    x(T) = x + T (f + J (m - c) + w),    w in R + (T/2) [A](Z, U, D) F.
Where f is C^2, with p = x(t) - x(0) and S, P enclosing sum H_ij F_i (D - c)_j by x and d, sum H_ij F_i F_j by x,
    f(x(t), u, d(t)) = f(x(0), u, d(t)) + A p + s + z,    s in t S, z in t^2 P / 2,
put into p = integral of f twice:
    w in R + (T/2) (A (f + J (D - c) + R + (T/3) (A F + S) + (T^2/12) P) + S) + (T^2/6) P.
For f affine in d, R = 0, and all of w is O(T): what d does in the first order is T J (m - c), with one m.

Slopes, given m. In x(T) - y(T) = (I + T (L + r)) (x(0) - y(0)) of flow.py L is the mean of A + C over [0, T], taken at
d(t). With N_j = d(A + C)/dd_j in [N_j](Z, U, D) and any matrices P_j, by mean values in d, entry by entry,
    L in [A + C](Z, U, c) + sum_j P_j (m_j - c_j) + ([N_j] - P_j) (D_j - c_j).
So where m is known to be in a part of D, L is in little more than the values of A + C there. All else is over D.

Called like a function. Fix d(t). Then w is a function of x = x(0), and y(x, m') = x + T (f + J (m' - c) + w(x)) one of
x and m' in D, with x(T) = y(x, m) at the mean m. Over boxes of (x, m') this encloses y for all d(t). For a in B and c'
in D let x_a be the solution from a under the same d(t): with slopes X,
    x(T) - y(a, c') = (x(T) - x_a(T)) + T J(a) (m - c') = X (x - a) + T J(a) (m - c'),
and y(x, m), y(a, c') both lie in the enclosure of y. So the expansions of maps.py about the middle hold for x(T), at
any d(t), with the slopes X in x and T J in m, though y has no such derivatives.
"""

from __future__ import annotations

from fractions import Fraction

from ctrlnet.checker.enclosures import hessian, jacobian, outer
from ctrlnet.checker.flow import Flow, Held, along, beside
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import middle


class DisturbedFlow(Flow):
    """x(T) as a function of x(0) and the mean of d(t), called like an `Evaluator`; NaN where no solution is shown."""

    def __init__(self, f: Evaluator, policy: Evaluator, period: Fraction, D: Interval) -> None:
        super().__init__(f, policy, period, D)
        self.q = (D - self.c).T
        self.d = slice(f.n - D.shape[1], f.n)

    def __call__(self, box: Interval, order: int) -> Interval:
        """x(T) over boxes (B, n + k), shape (1, B, n); for order 1 the slopes too, (1 + n + k, B, n)."""
        n = self.n
        x, mean = box[:, :n], box[:, n:]
        held = self.held(x)
        jet = self.f(beside(x, held.control, self.c), 1)
        J = jet[1:][self.d]
        velocity = jet[0] + along(J, (mean - self.c).T) + self._rest(held, jet)
        value = (x + velocity * self.T)[None]
        if order == 0:
            return value
        unit, first, rest, _ = self.slopes(held)
        slopes = unit + (self._mean(held, first, mean) + rest) * self.T
        return stack([value, Interval(slopes.lo.transpose(1, 2, 0), slopes.hi.transpose(1, 2, 0)), J * self.T])

    def _mean(self, held: Held, first: Interval, mean: Interval) -> Interval:
        """L, at means in boxes (B, k), from A + C over D."""
        if (mean.lo <= self.D.lo).all() and (mean.hi >= self.D.hi).all():
            return first
        total, changes = self.by_mean(held, first)
        for j, P in enumerate(changes):
            total = total + P * (mean - self.c)[:, j]
        return first.within(total)

    def by_mean(self, held: Held, first: Interval) -> tuple[Interval, list[Interval]]:
        """[A + C](Z, U, c) + sum_j ([N_j] - P_j) (D_j - c_j), and P_j in the middle of [N_j]."""
        at_c = self.f(beside(held.hull, held.control, self.c), 1)
        H, total, changes = hessian(held.far, self.f.n), self.turn(jacobian(at_c), held.gain), list[Interval]()
        for i, j in enumerate(range(self.f.n)[self.d]):
            N = self.turn(Interval(H.lo[:, j].transpose(2, 0, 1), H.hi[:, j].transpose(2, 0, 1)), held.gain)
            changes.append(middle(N))
            total = total + (N - changes[-1]) * self.q[i]
        return total, changes

    def _rest(self, held: Held, jet: Interval) -> Interval:
        """w (B, n); `jet` is that of f at B x U x {c}."""
        n, half, third, fourth = self.n, *self.over[1:4]
        F, far, H = held.far[0].T, held.far[1:], hessian(held.far, self.f.n)
        A, J = jet[1 : 1 + n], jet[1:][self.d]
        R = along(held.near[1:][self.d] - J, self.q)
        R = R.within(twice(H[self.d, self.d], outer(self.q)).scaled(0.5))
        S = twice(H[:n, self.d], F[:, None] * self.q[None])
        P = twice(H[:n, :n], outer(F))
        inner = jet[0] + along(J, self.q) + R + (along(A, F) + S) * third + P * (third * fourth)
        smooth = R + (along(A, inner.T) + S) * half + P * (half * third)
        return (R + along(far[:n], F) * half).within(smooth)


def twice(H: Interval, products: Interval) -> Interval:
    """sum_ij H_ij products_ij, for H (i, j, B, n) and products (i, j, B) or (i, j, 1)."""
    return (H * products[..., None]).sum(0).sum(0)
