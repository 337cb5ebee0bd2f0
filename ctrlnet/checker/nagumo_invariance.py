"""Statement "nagumo_invariance": h rises along x' = F(x, d) wherever h = 0, on C = {x in X : h(x) >= 0}, X a box.

Theorem. Every solution from C, whatever d(t) in D, stays in C for as long as it exists (it ends only where F is
undefined).

Proof. Boxes of leaves 'x' have h > 0 throughout or h < 0 throughout; on boxes of leaves 'p' h is Lipschitz, F is
defined and g.F > 0 for every g in Clarke's gradient of h. So C, the union of the boxes with h > 0 and of closed parts
of boxes 'p', is compact. Let a solution be in C until T, y = x(T), and let it exist beyond T. On each face that
contains y, every (y, d) is in a leaf of that face, not in one with h < 0, so F(y, d) points strictly inward: by "Faces"
of statement.py x(t) is in int X for t > T close to T. Boxes that meet states near y contain y, so none has h < 0. If
one has h > 0, then h(y) > 0, so h > 0 near y on all of them, being continuous on boxes 'p': the solution is in C beyond
T. If all are boxes 'p', h is Lipschitz on X near y, h' > 0 almost everywhere beyond T (chain rule of statement.py) and
h(y) >= 0: the solution is in C beyond T again. It never leaves.

Source: Nagumo (1942), in Blanchini, Set invariance in control, Automatica 35 (1999), Thm 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.document import fields
from ctrlnet.checker.enclosures import ZERO, below, increase, outside
from ctrlnet.checker.statement import Goal, Statement

WORDS = """For every state x(0) of C = {{x in X : h(x) >= 0}}, X = {X}{D}:
every solution of x' = F(x{d}) stays in C for as long as it exists; it ends only where F is undefined.
{graphs}"""


class NagumoInvariance(Statement):
    """grad h.F > 0 on leaves 'p', h > 0 or h < 0 on leaves 'x', F inward on leaves 'p' of faces, h < 0 on their 'x'."""

    names = ()

    def read(self, content: dict[str, Any]) -> str:
        """Read h and F."""
        self.h, self.F = self.graphs("h")
        return self.spoken(WORDS)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded leaves, faces, proved leaves."""
        content = fields(proof, ("interior", "faces"), "the proof")
        interior, faces = self.interior(content["interior"], "px"), self.faces(content["faces"], "px")
        yield Goal(interior.of_kind("x"), "h > 0 or h < 0 on an excluded leaf",
                   lambda box: outside(self.h, box, ZERO, ZERO))  # fmt: skip
        for _, _, part in faces:
            yield Goal(part.of_kind("x"), "h < 0 on an excluded leaf", lambda box: below(self.h, box, ZERO))
        yield from self.inward(faces, self.F)
        yield Goal(interior.of_kind("p"), "grad h.F > 0 on a proved leaf",
                   lambda box: increase(self.h, self.F, box, ZERO), 2)  # fmt: skip
