"""Statement "ultimate_bound": along x' = F(x, d), V falls on inner <= V <= outer, on S = {x in X : V(x) <= outer}.

Theorem. S is a compact subset of the interior of X. Every solution from S, whatever d(t) in D, stays in S for as long
as it exists (it ends only where F is undefined, with V < inner), reaches {V <= inner} in finite time and stays there.

Proof. V > outer on every face, so S lies in int X, and W = int X less the boxes on which V > outer is open and contains
S. For x in W and d in D, (x, d) is in a box with V < inner, or in one of a leaf 'p', with g.F < 0 for every g in
Clarke's gradient of V; the bounds are finitely many, so g.F <= -c with one c > 0. Let U = max(V, inner). U is Lipschitz
on W: it is constant on the first boxes and Lipschitz on the second, on which V is. So S = {U <= outer} is closed. Where
V(x) > inner all boxes at x are of the second sort and U = V near x, so that along a solution in W (chain rule of
statement.py) U' <= -c almost everywhere while U > inner. Hence U never grows, the solution cannot leave the compact S,
and U = inner from the time (outer - inner) / c on; U = inner says V <= inner. Where V >= inner F is defined, so that
the solution is continued.

Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.18.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker.document import fields, number
from ctrlnet.checker.enclosures import ZERO, above, decrease, outside
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {outer}}}, X = {X}{D}:
every solution of x' = F(x{d}) stays in S for as long as it exists, reaches {{V <= {inner}}} in finite time and stays
there. S is a compact subset of the interior of X; a solution ends only where F is undefined, with V < {inner}.
{graphs}"""


class UltimateBound(Statement):
    """V > outer on faces, V > outer or V < inner on leaves 'x', grad V.F < 0 on leaves 'p'."""

    names = ("inner", "outer")

    def read(self, content: dict[str, Any]) -> str:
        """Read inner, outer, V and F."""
        self.bounds = [number(content[name], name) for name in self.names]
        self.V, self.F = self.graphs("V")
        inner, outer = map(in_words, self.bounds)
        return self.spoken(WORDS, inner=inner, outer=outer)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Faces, excluded leaves, proved leaves."""
        content, (inner, outer) = fields(proof, ("interior", "faces"), "the proof"), enclosed(self.bounds)
        if not self.bounds[0] < self.bounds[1]:
            raise Rejected("inner must be below outer")
        interior = self.interior(content["interior"], "px")
        for _, _, part in self.faces(content["faces"], "x", disturbed=False):
            yield Goal(part, "V > outer on a face", lambda box: above(self.V, box, outer))
        yield Goal(interior.of_kind("x"), "V > outer or V < inner on an excluded leaf",
                   lambda box: outside(self.V, box, inner, outer))  # fmt: skip
        yield Goal(interior.of_kind("p"), "grad V.F < 0 on a proved leaf",
                   lambda box: decrease(self.V, self.F, box, ZERO, positive=False), 2)  # fmt: skip
