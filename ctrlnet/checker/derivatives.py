"""The time derivatives psi1 = h' + a1 h and psi2 = psi1' + a2 psi1 along x' = F(x, d), h twice differentiable.

    psi1 = grad h.F + a1 h,   d_j psi1 = sum_k (d_jk h F_k + d_k h d_j F_k) + a1 d_j h,
    psi2 = h'' + (a1 + a2) h' + a1 a2 h,   h'' = Hess h (F, F) + grad h.(DF F).

F may have kinks: d_j F_k is Clarke's, and so are the enclosures of d_j psi1 and of g.F for g in Clarke's gradient of
psi1, by forms of second order. Where second derivatives of h or DF are unbounded so is psi2. Boxes are of (x, d). All
is meant at each d by itself, with derivatives in x: DF F is the derivative of F(., d) along F(x, d), where d rests.

Source: Xiao, Belta, High-order control barrier functions, IEEE Trans. Automatic Control 67 (2022), eqs 7-8.
"""

from __future__ import annotations

import numpy as np

from ctrlnet.checker.enclosures import Enclosed, form_of, formed, hessian, jacobian, undefined, unknown
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.taylor import add, concatenate, constant, entries, multiply, variables
from ctrlnet.checker.taylor_rules import Value, evaluate, nothing


class Derivatives:
    """psi1 and psi2 of a barrier h with the rates a1 and a2, each of shape (1,)."""

    def __init__(self, h: Evaluator, F: Evaluator, first: Interval, second: Interval) -> None:
        self.h, self.F, self.rates = h, F, (first, second)

    def first(self, box: Interval, order: int) -> Interval:
        """psi1 as a jet (1, B, 1) or (1 + N, B, 1) on boxes (B, N) of (x, d)."""
        n, N, rate, h, f = self.h.n, self.F.n, self.rates[0], self.h(box, order + 1)[:, :, 0], self.F(box, order)
        g, field = h[1 : 1 + N], f[0].T
        value = ((g[:n] * field).sum(0) + rate * h[0])[None, :, None]
        if order == 0:
            return value
        bent = (hessian(h, N)[:, :n] * field).sum(1) + (jacobian(f) * g[:n, None]).sum(0)
        return stack([value, (bent + rate * g)[:, :, None]])

    def second(self, box: Interval) -> Enclosed:
        """psi2 = psi1' + a2 psi1."""
        n, N = self.h.n, self.F.n
        z, (a1, a2) = variables(box), [constant(rate[None], N) for rate in self.rates]
        x, F = entries(z, slice(n)), form_of(self.F, box)
        motion = concatenate([F.forms[0], nothing(N - n, N)]) if n < N else F.forms[0]
        f, df = evaluate(self.F, Value([z, motion], box)).forms
        h, dh, ddh = evaluate(self.h, Value([x, f, df], box[:, :n])).forms
        psi, dpsi = add(dh, multiply(a1, h)), add(ddh, multiply(a1, dh))
        found = formed(add(dpsi, multiply(a2, psi)), box)
        return found._replace(value=undefined(found.value, unknown(F.range) | ~np.isfinite(df.size).all(1)))
