"""Statement "high_order_invariance": x' = F(x), psi1 = h' + a1 h, psi2 = psi1' + a2 psi1, time derivatives along F.

Theorem. Every solution from C = {x in X : h(x) >= 0, psi1(x) >= 0} stays in C for all t >= 0, h being twice
differentiable and F locally Lipschitz near C.

Proof. A state of C is in no leaf 'x', as h < 0 or psi1 < 0 there (psi1 for every g in Clarke's gradient of h in place
of grad h), so it is in a box of a leaf 'p', on which the second derivatives of h and Clarke's Jacobian of F are
bounded: h is C^2 there, F and psi1 = grad h.F + a1 h are Lipschitz, and g.F + a2 psi1 > 0 for every g in Clarke's
gradient of psi1. So C is compact. Let a solution be in C until T and exist beyond T, y = x(T). As in
barrier_invariance.py, boxes that meet states near y are of leaves 'p', and the field points strictly inward on the
faces that contain y, so x(t) is in int X for t > T close to T. There psi1' > -a2 psi1 almost everywhere and
psi1(y) >= 0, so psi1 >= 0; then h' = psi1 - a1 h >= -a1 h and h(y) >= 0, so h >= 0. The solution is in C beyond T: it
never leaves the compact C, on which F is defined, so it is continued for ever.

Source: Xiao, Belta, High-order control barrier functions, IEEE Trans. Automatic Control 67 (2022), Thm 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.derivatives import Derivatives
from ctrlnet.checker.document import fields, numbers
from ctrlnet.checker.enclosures import ZERO, below
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, some
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of C = {{x in X : h(x) >= 0 and h'(x) + {rate} h(x) >= 0}}, X = {X}, h' = grad h.F:
the solution of x' = F(x) stays in C for all t >= 0.
{graphs}"""


class HighOrderInvariance(Statement):
    """psi2 > 0 on leaves 'p', h < 0 or psi1 < 0 on leaves 'x', F inward on leaves 'p' of faces."""

    names = ("rates",)
    robust = False

    def read(self, content: dict[str, Any]) -> str:
        """Read both rates, h and F."""
        self.rates = numbers(content["rates"], "rates", 2)
        self.h, self.F = self.graphs("h")
        self.psi = Derivatives(self.h, self.F, *enclosed(self.rates))
        return self.spoken(WORDS, rate=in_words(self.rates[0]))

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded leaves, faces, proved leaves."""
        content = fields(proof, ("interior", "faces"), "the proof")
        if min(self.rates) < 0:
            raise Rejected("rates must not be negative")
        interior, faces = self.interior(content["interior"], "px"), self.faces(content["faces"], "px")
        for part in (interior, *(tree for _, _, tree in faces)):
            yield Goal(part.of_kind("x"), "h < 0 or psi1 < 0 on an excluded leaf", self._excluded, 2)
        yield from self.inward(faces, self.F)
        yield Goal(interior.of_kind("p"), "psi2 > 0 on a proved leaf", lambda b: self.psi.second(b).positive(), 2)

    def _excluded(self, box: Interval) -> Outcome:
        return some(below(self.h, box, ZERO), below(self.psi.first, box, ZERO))
