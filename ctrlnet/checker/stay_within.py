"""Statement "stay_within": x' = F(x, d) points into the box X on all its faces.

Theorem. Every solution from X, whatever d(t) in D, stays in X for as long as it exists (it ends only where F is
undefined).

Proof. Let a solution be in X until T, y = x(T), and let it exist beyond T. For each face that contains y and every d in
D, (y, d) is in a leaf of that face, so F(y, d) points strictly inward: by "Faces" of statement.py x(t) is in int X for
t > T close to T. If y is in int X this is plain. So the solution never leaves.

Source: Nagumo (1942), in Blanchini, Set invariance in control, Automatica 35 (1999), Thm 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.document import fields
from ctrlnet.checker.statement import Goal, Statement

WORDS = """For every state x(0) of X = {X}{D}:
every solution of x' = F(x{d}) stays in X for as long as it exists; it ends only where F is undefined.
{graphs}"""


class StayWithin(Statement):
    """F inward on all leaves of all faces."""

    names = ()

    def read(self, content: dict[str, Any]) -> str:
        """Read F."""
        (self.F,) = self.graphs()
        return self.spoken(WORDS)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Faces alone."""
        faces = self.faces(fields(proof, ("faces",), "the proof")["faces"], "p")
        yield from self.inward(faces, self.F)
