"""The time derivatives psi1 = h' + a1 h and psi2 = psi1' + a2 psi1 along x' = F(x), where h is twice differentiable.

    psi1 = grad h.F + a1 h,   d_j psi1 = sum_k (d_jk h F_k + d_k h d_j F_k) + a1 d_j h,   psi2 = grad psi1.F + a2 psi1.

F may have kinks: d_j F_k is Clarke's, and so is the enclosure of d_j psi1. Where it is unbounded psi2 is NaN.

Source: Xiao, Belta, High-order control barrier functions, IEEE Trans. Automatic Control 67 (2022), eqs 7-8.
"""

from __future__ import annotations

from ctrlnet.checker.enclosures import Enclosed, hessian, jacobian, magnitude, unbounded, undefined
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import middle


class Derivatives:
    """psi1 and psi2 of a barrier h with the rates a1 and a2, each of shape (1,)."""

    def __init__(self, h: Evaluator, F: Evaluator, first: Interval, second: Interval) -> None:
        self.h, self.F, self.rates = h, F, (first, second)

    def first(self, box: Interval, order: int) -> Interval:
        """psi1 as a jet (1, B, 1) or (1 + n, B, 1)."""
        return self._first(self.h(box, order + 1)[:, :, 0], self.F(box, order), order)[:, :, None]

    def second(self, box: Interval) -> Enclosed:
        """psi2, with the mean value forms of all its parts but the second derivatives of h and the first of F."""
        centre, n = middle(box), self.h.n
        d, h, f = (box - centre).T, self.h(box, 2)[:, :, 0], self.F(box, 1)
        h_centre, f_centre = self.h(centre, 2)[:, :, 0], self.F(centre, 1)
        value = h[0].within(h_centre[0] + (h[1 : 1 + n] * d).sum(0))
        gradient = h[1 : 1 + n].within(h_centre[1 : 1 + n] + (hessian(h, n) * d).sum(1))
        field = f[0].within(f_centre[0] + (jacobian(f) * d).sum(1).T)
        h, f = stack([value[None], gradient, h[1 + n :]]), stack([field[None], f[1:]])
        psi = self._first(h, f, 1)
        at_middle = self._first(h_centre, f_centre, 1)
        psi = stack([psi[:1].within(at_middle[:1] + (psi[1:] * d).sum(0)), psi[1:]])
        width = magnitude(d).T  # no gradient of psi2 is at hand: the widest dimension is bisected
        return Enclosed(self._second(psi, f), self._second(at_middle, f_centre), width)

    def _first(self, h: Interval, f: Interval, order: int) -> Interval:
        n, rate = self.h.n, self.rates[0]
        g, field = h[1 : 1 + n], f[0].T
        value = ((g * field).sum(0) + rate * h[0])[None]
        if order == 0:
            return value
        bent = (hessian(h, n) * field).sum(1) + (jacobian(f) * g[:, None]).sum(0)
        return stack([value, bent + rate * g])

    def _second(self, psi: Interval, f: Interval) -> Interval:
        return undefined((psi[1:] * f[0].T).sum(0) + self.rates[1] * psi[0], unbounded(psi[1:]))
