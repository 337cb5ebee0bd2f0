"""Statement "barrier_invariance": h cannot fall below 0 along x' = F(x, d) on C = {x in X : h(x) >= 0}, X a box.

Theorem. Every solution from C, whatever d(t) in D, stays in C for all t >= 0.

Proof. For x in C and d in D, (x, d) is in no leaf 'x', as h < 0 there; so it is in a leaf 'p', where F is defined, h is
Lipschitz and g.F + rate h > 0 for every g in Clarke's gradient of h. So C, a union of finitely many closed parts, is
compact. Let a solution be in C until T, y = x(T), and let it exist beyond T. Boxes that meet states near y contain y,
so all are of leaves 'p', and h is Lipschitz on X near y. On each face that contains y, every (y, d) is in a leaf of
that face, not in one with h < 0, so F(y, d) points strictly inward: by "Faces" of statement.py x(t) is in int X for
t > T close to T. There, by its "Chain rule", h' > -rate h almost everywhere, so that exp(rate t) h(x(t)), which is
continuous and not negative at T, does not fall. So the solution is in C beyond T: it never leaves. If F is defined on X
only, take F at the nearest point of X elsewhere; C is compact and F is defined on it, so the solution is continued for
ever.

Source: Ames, Coogan, Egerstedt, Notomista, Sreenath, Tabuada, Control barrier functions, European Control Conf. (2019),
Thm 2; the boundary of X after Nagumo: Blanchini, Set invariance in control, Automatica 35 (1999), Thm 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.document import fields, number
from ctrlnet.checker.enclosures import ZERO, below, increase
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed

WORDS = """For every state x(0) of C = {{x in X : h(x) >= 0}}, X = {X}{D}:
every solution of x' = F(x{d}) stays in C for all t >= 0.
{graphs}"""


class BarrierInvariance(Statement):
    """grad h.F + rate h > 0 on leaves 'p', h < 0 on leaves 'x', F inward on leaves 'p' of faces."""

    names = ("rate",)

    def read(self, content: dict[str, Any]) -> str:
        """Read the rate, h and F."""
        self.rate = number(content["rate"], "rate")
        self.h, self.F = self.graphs("h")
        return self.spoken(WORDS)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded leaves, faces, proved leaves."""
        content, (rate,) = fields(proof, ("interior", "faces"), "the proof"), enclosed([self.rate])
        if self.rate < 0:
            raise Rejected("rate must not be negative")
        interior, faces = self.interior(content["interior"], "px"), self.faces(content["faces"], "px")
        for part in (interior, *(tree for _, _, tree in faces)):
            yield Goal(part.of_kind("x"), "h < 0 on an excluded leaf", lambda box: below(self.h, box, ZERO))
        yield from self.inward(faces, self.F)
        yield Goal(interior.of_kind("p"), "grad h.F + rate h > 0 on a proved leaf",
                   lambda box: increase(self.h, self.F, box, rate), 2)  # fmt: skip
