"""Statement "conjunction": several statements, each with its graphs and its proof, all of them true.

Theorem. Each part's. Proof. Each part's: every part is read and confirmed as if it stood in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrlnet.checker.document import Document, fields, sequence, text
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.kinds import KINDS
from ctrlnet.checker.leaves import Effort
from ctrlnet.checker.report import Unconfirmed, Unreadable, printable
from ctrlnet.checker.statement import Statement

MAX_PARTS = 256


def parts(statement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a conjunction, each with the fields statement, graphs and proof."""
    items = sequence(fields(statement, ("kind", "parts"), "the statement")["parts"], "parts")
    if not 1 <= len(items) <= MAX_PARTS:
        raise Unreadable(f"a conjunction has {len(items)} parts; this checker reads 1 to {MAX_PARTS}")
    names = ("statement", "graphs", "proof")
    for i, item in enumerate(items, start=1):
        if not all(isinstance(value, dict) for value in fields(item, names, f"part {i}").values()):
            raise Unreadable(f"part {i}: 'statement', 'graphs' or 'proof' is not an object")
    return items


class Conjunction:
    """The parts of one file; `words` are theirs, `effort` is what they took together."""

    def __init__(self, document: Document, elementary: Elementary) -> None:
        if document.graphs or document.proof:
            raise Unreadable("the graphs and proofs of a conjunction belong to its parts; its own must be empty")
        self.effort = Effort()
        self.parts = [self._part(i, item, elementary) for i, item in enumerate(parts(document.statement), start=1)]
        self.words = "\n".join(f"({i}) {part.words}" for i, (_, part) in enumerate(self.parts, start=1))

    def _part(self, i: int, item: dict[str, Any], elementary: Elementary) -> tuple[str, Statement]:
        kind = text(item["statement"].get("kind"), f"part {i}: the kind")
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise Unreadable(
                f"part {i}: kind '{printable(kind, 60)}' cannot be part of a conjunction; these can: {known}"
            )
        document = Document(item["statement"], item["graphs"], item["proof"], (), "", "")
        try:
            return kind, KINDS[kind](document, elementary, self.effort)
        except Unconfirmed as failure:
            raise type(failure)(f"part {i} ({kind}): {failure}") from failure

    def confirm(self) -> None:
        """Check every part; raises `Unconfirmed` with the first that fails."""
        for i, (kind, part) in enumerate(self.parts, start=1):
            try:
                part.confirm()
            except Unconfirmed as failure:
                raise type(failure)(f"part {i} ({kind}): {failure}") from failure
