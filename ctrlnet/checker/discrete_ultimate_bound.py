"""Statement "discrete_ultimate_bound": V falls in every step x+ = F(x, d) where inner < V <= outer.

Theorem. Let S = {x in X : V(x) <= outer}. Every sequence x(k + 1) = F(x(k), d(k)) from S, whatever d(k) in D, stays in
S, reaches {x in X : V(x) <= inner} in finitely many steps and stays there.

Proof. Let x in S, d in D and y = F(x, d). If V(x) > inner, (x, d) is in no leaf 'x' of the interior tree, as V > outer
or V < inner there, so it is in a box of a leaf 'p': y lies in X and V(y) <= V(x) - c, with one c > 0 for these finitely
many boxes. If V(x) <= inner, (x, d) is in no leaf 'x' of the inner tree, so in a box of a leaf 'p' of it: y lies in X
and V(y) < inner. Hence y is in S, and V <= inner after at most 1 + (outer - inner) / c steps and from then on. A
function that switches may take either value at a tie; V and F need not be continuous.

Source: Jiang, Wang, Input-to-state stability for discrete-time nonlinear systems, Automatica 37 (2001), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ctrlnet.checker.document import fields, number
from ctrlnet.checker.enclosures import ZERO, above, outside
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, every
from ctrlnet.checker.maps import step
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {outer}}}, X = {X}{DK}:
every sequence x(k + 1) = F(x(k){dk}) stays in S, reaches {{V <= {inner}}} in finitely many steps and stays there.
{graphs}"""


class DiscreteUltimateBound(Statement):
    """The tree `interior` settles inner < V <= outer, the tree `inner` V <= inner."""

    names = ("inner", "outer")

    def read(self, content: dict[str, Any]) -> str:
        """Read inner, outer, V and F."""
        self.bounds = [number(content[name], name) for name in self.names]
        self.V, self.F = self.graphs("V")
        inner, outer = map(in_words, self.bounds)
        return self.spoken(WORDS, inner=inner, outer=outer)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded and proved leaves of both trees."""
        content = fields(proof, ("interior", "inner"), "the proof")
        (inner, outer), one = enclosed(self.bounds), Interval(ZERO.lo + 1, ZERO.hi + 1)
        if not self.bounds[0] < self.bounds[1]:
            raise Rejected("inner must be below outer")
        interior = self.interior(content["interior"], "px")
        low = self.interior(content["inner"], "px", "the inner tree")
        yield Goal(interior.of_kind("x"), "V > outer or V < inner on an excluded leaf",
                   lambda box: outside(self.V, box, inner, outer))  # fmt: skip
        yield Goal(low.of_kind("x"), "V > inner on an excluded leaf", lambda box: above(self.V, box, inner))
        for tree, claim, test in (
            (interior, "F in X and V(F) < V on a proved leaf", partial(self._falls, factor=one, offset=ZERO)),
            (low, "F in X and V(F) < inner on a proved leaf", partial(self._falls, factor=ZERO, offset=inner)),
        ):
            yield Goal(tree.of_kind("p"), claim, test, 2)

    def _falls(self, box: Interval, factor: Interval, offset: Interval) -> Outcome:
        found = step(self.V, self.F, box, factor, offset)
        return every(found.w.positive(), found.inside(self.X))
