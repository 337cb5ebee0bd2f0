"""Statement "high_order_invariance": x' = F(x, d), psi1 = h' + a1 h, psi2 = psi1' + a2 psi1, derivatives along F.

Theorem. Every solution from C = {x in X : h(x) >= 0, psi1(x) >= 0}, whatever d(t) in D, stays in C for all t >= 0, h
being twice differentiable and F locally Lipschitz near C. h' is a function of x: h does not read an entry of the state
whose entry of F reads d.

Proof. psi1 is one function of x, whatever d its enclosure is about. A state x of C is in no leaf 'x', as h < 0 or psi1
< 0 there (psi1 for every g in Clarke's gradient of h in place of grad h), so {x} x D is in boxes of leaves 'p', on
which the second derivatives of h and Clarke's Jacobian of F are bounded: h is C^2 there, F and psi1 = grad h.F + a1 h
are Lipschitz, and g.F(x, d) + a2 psi1 > 0 for every g in Clarke's gradient of psi1 and d in D. So C is compact. Let a
solution be in C until T and exist beyond T, y = x(T). As in barrier_invariance.py, boxes that meet states near y are of
leaves 'p', and the field points strictly inward on the faces that contain y, so x(t) is in int X for t > T close to T.
There psi1' > -a2 psi1 almost everywhere ("Chain rule" of statement.py) and psi1(y) >= 0, so psi1 >= 0; then h' = psi1 -
a1 h >= -a1 h and h(y) >= 0, so h >= 0. The solution is in C beyond T: it never leaves the compact C, on which F is
defined, so it is continued for ever.

Source: Xiao, Belta, High-order control barrier functions, IEEE Trans. Automatic Control 67 (2022), Thm 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.dependence import undetermined
from ctrlnet.checker.derivatives import Derivatives
from ctrlnet.checker.document import fields, numbers
from ctrlnet.checker.enclosures import ZERO, below
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, some
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of C = {{x in X : h(x) >= 0 and h'(x) + {rate} h(x) >= 0}}, X = {X}, h' = grad h.F{D}:
{every} solution of x' = F(x{d}) stays in C for all t >= 0.
{graphs}"""


class HighOrderInvariance(Statement):
    """psi2 > 0 on leaves 'p', h < 0 or psi1 < 0 on leaves 'x', F inward on leaves 'p' of faces."""

    names = ("rates",)

    def read(self, content: dict[str, Any]) -> str:
        """Read both rates, h and F."""
        self.rates = numbers(content["rates"], "rates", 2)
        self.h, self.F = self.graphs("h")
        self.psi = Derivatives(self.h, self.F, *enclosed(self.rates))
        return self.spoken(WORDS, rate=in_words(self.rates[0]), every="every" if self.k else "the")

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded leaves, faces, proved leaves."""
        content = fields(proof, ("interior", "faces"), "the proof")
        if min(self.rates) < 0:
            raise Rejected("rates must not be negative")
        for i in undetermined(self.h.graph, self.F.graph, self.n, self.n + self.k):
            raise Rejected(f"h reads x{i + 1}, and entry {i + 1} of F reads the disturbance: h' is no function of x")
        interior, faces = self.interior(content["interior"], "px"), self.faces(content["faces"], "px")
        for part in (interior, *(tree for _, _, tree in faces)):
            yield Goal(part.of_kind("x"), "h < 0 or psi1 < 0 on an excluded leaf", self._excluded, 2)
        yield from self.inward(faces, self.F)
        yield Goal(interior.of_kind("p"), "psi2 > 0 on a proved leaf", lambda b: self.psi.second(b).positive(), 2)

    def _excluded(self, box: Interval) -> Outcome:
        return some(below(self.h, box, ZERO), below(self.psi.first, box, ZERO))
