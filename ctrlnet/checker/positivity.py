"""Statement "positivity": a margin is positive on part of a box.

Theorem. margin(x) > 0 for every x in X with w(x) <= 0 for every w in `where`.

Proof. The leaves cover X. On a leaf 'p' margin > 0. On every part of a leaf 'x' some w is positive, so that no point of
it satisfies all w <= 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ctrlnet.checker.document import fields, sequence, text
from ctrlnet.checker.enclosures import ZERO, above
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, some
from ctrlnet.checker.report import Unreadable, printable
from ctrlnet.checker.statement import Goal, Statement

WORDS = """For every state x of X = {X}{where}: margin(x) > 0.
{graphs}"""


class Positivity(Statement):
    """margin > 0 on leaves 'p', some w > 0 on leaves 'x'."""

    names = ("where",)
    robust = False

    def read(self, content: dict[str, Any]) -> str:
        """Read the names of the conditions and their graphs."""
        names = [text(name, "a name in 'where'") for name in sequence(content["where"], "where")]
        if len({"margin", *names}) <= len(names) or not all(name.isidentifier() and name.isascii() for name in names):
            raise Unreadable("a name in 'where' is repeated, is 'margin', or is no plain word")
        self.margin, *self.where = self.graphs("margin", *names, field=False)
        conditions = [f"{printable(name, 60)}(x) <= 0" for name in names]
        return self.spoken(WORDS, where=" with " * bool(names) + " and ".join(conditions))

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Both kinds of leaves."""
        interior = self.interior(fields(proof, ("interior",), "the proof")["interior"], "px")
        yield Goal(interior.of_kind("p"), "margin > 0 on a proved leaf", lambda box: above(self.margin, box, ZERO))
        yield Goal(interior.of_kind("x"), "some w > 0 on an excluded leaf", self._excluded)

    def _excluded(self, box: Interval) -> Outcome:
        if not self.where:
            nowhere = np.zeros(len(box.lo), dtype=bool)
            return Outcome(nowhere, ~nowhere, np.zeros(box.shape))
        return some(*(above(w, box, ZERO) for w in self.where))
