"""Statement "positivity": a margin is positive on part of a box.

Theorem. margin(x) > 0 for every x in X with w(x) <= 0 for every w in `where`.

Proof. The leaves cover X. On a leaf 'p' margin > 0. On every part of a leaf 'x' some w is positive, so that no point of
it satisfies all w <= 0.
"""

from __future__ import annotations

import numpy as np

from ctrlnet.checker.document import Document, fields, sequence, text
from ctrlnet.checker.enclosures import above
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Effort, Outcome, settle
from ctrlnet.checker.report import Unreadable, printable
from ctrlnet.checker.statement import evaluators, in_words, root
from ctrlnet.checker.tree import leaves

WORDS = """For every state x of X = {X}{where}: margin(x) > 0.
The functions are the graphs in the file (margin {margin})."""
ZERO = Interval(np.zeros(1), np.zeros(1))


class Positivity:
    """The statement of one file: `words` is the theorem, `confirm` its check, `effort` what that took."""

    def __init__(self, document: Document, elementary: Elementary) -> None:
        content = fields(document.statement, ("kind", "box", "where"), "the statement")
        self.lower, self.upper = root(content["box"])
        names = [text(name, "a name in 'where'") for name in sequence(content["where"], "where")]
        if len({"margin", *names}) <= len(names) or not all(name.isidentifier() and name.isascii() for name in names):
            raise Unreadable("a name in 'where' is repeated, is 'margin', or is no plain word")
        self.margin, *self.where = evaluators(document.graphs, ("margin", *names), len(self.lower), elementary)
        if any(f.graph.size != 1 for f in (self.margin, *self.where)):
            raise Unreadable("margin and every graph in 'where' must have size 1")
        self.proof, self.effort = document.proof, Effort(0)
        conditions = [f"{printable(name, 60)}(x) <= 0" for name in names]
        self.words = WORDS.format(
            X=in_words(self.lower, self.upper), where=" with " * bool(names) + " and ".join(conditions),
            margin=", ".join(f.graph.digest[:16] for f in (self.margin, *self.where)),
        )  # fmt: skip

    def confirm(self) -> None:
        """Check both kinds of leaves; raises `Unconfirmed`."""
        tree = fields(self.proof, ("interior",), "the proof")["interior"]
        interior = leaves(tree, self.lower, self.upper, "px", "the interior")
        self.effort = Effort(len(interior))
        chunk = min(f.chunk(1) for f in (self.margin, *self.where))
        proved, excluded = interior.of_kind("p"), interior.of_kind("x")
        settle(proved, "margin > 0 on a proved leaf", lambda b: above(self.margin, b, ZERO), self.effort, chunk)
        settle(excluded, "some w > 0 on an excluded leaf", self._excluded, self.effort, chunk)

    def _excluded(self, box: Interval) -> Outcome:
        if not self.where:
            nowhere = np.zeros(len(box.lo), dtype=bool)
            return Outcome(nowhere, ~nowhere, np.zeros(box.shape))
        outcomes = [above(w, box, ZERO) for w in self.where]
        proved = np.any([o.proved for o in outcomes], axis=0)
        doubt = np.max([o.doubt for o in outcomes], axis=0)
        return Outcome(proved, np.all([o.refuted for o in outcomes], axis=0), doubt)
