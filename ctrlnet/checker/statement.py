"""What all statement kinds read and say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from ctrlnet.checker.document import fields, float64s, sequence
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.graph import MAX_DIMENSION, read_graph
from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort
from ctrlnet.checker.report import Unreadable


class Statement(Protocol):
    """The statement of one file, read from its document."""

    words: str
    effort: Effort

    def confirm(self) -> None:
        """Check the proof; raises `Unconfirmed`."""


def root(value: Any) -> tuple[Array, Array]:
    """Corners (n,) of the box X of a statement."""
    corners = fields(value, ("lower", "upper"), "the box")
    n = len(sequence(corners["lower"], "lower"))
    if not 1 <= n <= MAX_DIMENSION:
        raise Unreadable(f"the box has {n} dimensions; this checker reads 1 to {MAX_DIMENSION}")
    lower, upper = (float64s(corners[name], name, n) for name in ("lower", "upper"))
    if not (lower < upper).all():
        raise Unreadable("the box is empty: every lower corner must be below its upper corner")
    return lower, upper


def evaluators(graphs: Mapping[str, Any], names: Sequence[str], n: int, elementary: Elementary) -> list[Evaluator]:
    """The graphs with exactly these names, ready to be enclosed."""
    content = fields(graphs, names, "graphs")
    return [Evaluator(read_graph(content[name], n, repr(name)[:60]), n, elementary) for name in names]


def in_words(*values: Fraction | Array) -> str:
    """A number, or the box with these two corners."""
    if isinstance(values[0], Fraction):
        near, ratio = float(Interval.of([values[0]]).lo[0]), str(values[0])
        return repr(near) if Fraction(near) == values[0] else ratio if len(ratio) <= 60 else f"{near!r} (rounded here)"
    lower, upper = values
    return " x ".join(f"[{a!r}, {b!r}]" for a, b in zip(lower.tolist(), upper.tolist(), strict=True))  # type: ignore[union-attr]
