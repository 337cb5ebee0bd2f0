"""What a figure of a proof shows of one statement: its boxes, its level sets, its states of interest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.errors import UsageError
from ctrlnet.prover import Verdict
from ctrlnet.reports.leaves import Leaves, corner, document_in, domain_of, tree_leaves
from ctrlnet.reports.subject import Array

__all__ = ["Curve", "Picture", "pictures_of"]

Style = Literal["solid", "dashed", "dashdot", "dotted"]
STYLES: tuple[Style, ...] = ("solid", "dashed", "dashdot", "dotted")
LEVELS: dict[str, Style] = {"level": "solid", "outer": "solid", "inner": "dashed"}  # fields of a statement about V
TREES = ("interior", "inner")
LEVEL, RING = "V > level", "V > outer or V < inner"
EXCLUDED = {  # why nothing is asked on the boxes excluded: one row a kind
    "exponential_stability": LEVEL,
    "discrete_decrease": LEVEL,
    "sampled_stability": LEVEL,
    "ultimate_bound": RING,
    "discrete_ultimate_bound": RING,
    "barrier_invariance": "h < 0",
    "nagumo_invariance": "h ≠ 0",
    "high_order_invariance": "h < 0 or ψ₁ < 0",
    "positivity": "a side condition fails",
    "admissible_control": "outside the set",
}


class Curve(NamedTuple):
    """A level set that a statement names: `values` at states (B, n) are `value` on it."""

    label: str
    values: Callable[[Array], Array]
    value: float
    style: Style


@dataclass(frozen=True)
class Picture:
    """What is drawn of one statement.

    Attributes:
        document: of its certificate; an unfinished proof has trees, a box, graphs and levels, a hopeless one nothing.
        title: status and kind, in words.
        note: why it is not certified.
        marked: a state that refutes the statement or limits its level, (n,), and what it is.
        tree: the name of the proof's tree whose boxes are drawn.
    """

    document: dict[str, Any]
    title: str
    note: str = ""
    marked: tuple[Array, str] | None = None
    tree: str = "interior"

    @property
    def statement(self) -> dict[str, Any]:
        """The fields of the statement, those of a condition on V within it too."""
        stated: dict[str, Any] = self.document["statement"]
        return {**stated, **next((one for one in stated.get("conditions", ()) if "level" in one), {})}

    @cached_property
    def states(self) -> int:
        """n; the coordinates after it are disturbances."""
        return len(self.statement["box"]["lower"])

    @cached_property
    def lower(self) -> Array:
        """Lower corner of states and disturbances, (n + k,)."""
        return domain_of(self.statement)[0]

    @cached_property
    def upper(self) -> Array:
        """Upper corner, (n + k,)."""
        return domain_of(self.statement)[1]

    @cached_property
    def leaves(self) -> Leaves | None:
        """The boxes; None where the statement is about the faces alone."""
        tree = self.document["proof"].get(self.tree)
        return None if tree is None else tree_leaves(tree, self.lower, self.upper)

    @property
    def names(self) -> list[str]:
        """x[0], ..., d[0], ..."""
        count = len(self.lower) - self.states
        return [f"x[{i}]" for i in range(self.states)] + [f"d[{i}]" for i in range(count)]

    @property
    def excluded(self) -> str:
        """Why boxes are excluded; empty where that is not known."""
        if self.tree == "inner":
            return "V > inner"
        return EXCLUDED.get(self.statement.get("kind", ""), "")

    def middle(self) -> Array:
        """Where to cut when nothing is said: at x*, at what refutes the statement, or at the centre of the box."""
        point = 0.5 * self.lower + 0.5 * self.upper
        if "equilibrium" in self.statement:
            point[: self.states] = corner(self.statement["equilibrium"])
        elif self.note and self.marked is not None:
            point[: len(self.marked[0])] = self.marked[0]
        return point

    def curves(self) -> Iterator[Curve]:
        """The level sets of V, h and side conditions that the statement names."""
        statement, graphs = self.statement, self.document["graphs"]
        named = [(name, style) for name, style in LEVELS.items() if name in statement and "V" in graphs]
        for name, style in named:
            value = float(corner([statement[name]])[0])
            yield Curve(f"V = {value:.4g} ({name})", self._scalar("V"), value, style)
        for place, name in enumerate(self._sides(), len(named)):
            yield Curve(f"{name} = 0", self._scalar(name), 0.0, STYLES[place % len(STYLES)])
        if "rates" in statement:
            yield Curve("ψ₁ = 0", self._first_derivative, 0.0, "dashed")

    def functions(self) -> Iterator[tuple[str, Callable[[Array], Array]]]:
        """The scalar functions of the statement by name, each of states (B, n)."""
        for name in self.document["graphs"]:
            if name in ("V", "margin") or name in self._sides():
                yield name, self._scalar(name)

    def _sides(self) -> list[str]:
        """The functions whose sign says where something is asked."""
        where = self.statement.get("where", ())
        return [name for name in self.document["graphs"] if name.startswith("h") or name in where]

    def _scalar(self, name: str) -> Callable[[Array], Array]:
        return lambda states: self._jet(name, states, 0)[0, :, 0]

    def _first_derivative(self, states: Array) -> Array:
        """ψ₁ = ∇h·F + a₁ h, which is the same for every disturbance."""
        some = np.broadcast_to(self.middle()[self.states :], (len(states), len(self.lower) - self.states))
        h, field = self._jet("h", states, 1), self._jet("F", np.concatenate([states, some], 1), 0)
        rate = float(corner(self.statement["rates"])[0])
        moved: Array = (h[1 : 1 + self.states, :, 0].T * field[0]).sum(axis=1) + rate * h[0, :, 0]
        return moved

    def _jet(self, name: str, states: Array, order: int) -> Array:
        """Jet of a graph at inputs (B, n), states say, as the checker evaluates it, to a rounding."""
        inputs = states.shape[1]
        evaluator = Evaluator(read_graph(self.document["graphs"][name], inputs, "to be drawn"), inputs)
        step = evaluator.chunk(order)
        with np.errstate(all="ignore"):
            parts = [
                evaluator(Interval(some, some), order) for some in np.split(states, range(step, len(states), step))
            ]
        return np.concatenate([0.5 * part.lo + 0.5 * part.hi for part in parts], axis=1)


def pictures_of(proof: Verdict | str | Path) -> list[Picture]:
    """One picture for each tree of boxes, of all parts of a conjunction.

    Raises:
        UsageError: nothing to draw, or no certificate.
        RunDamaged: the certificate is truncated or edited.
    """
    if isinstance(proof, Verdict):
        return _of_verdict(proof)
    if not isinstance(proof, (str, Path)):
        raise UsageError(f"draw_proof draws a verdict or the path of a certificate; got {type(proof).__name__}.")
    try:
        data = Path(proof).read_bytes()
    except OSError as error:
        raise UsageError(f"{proof} is no certificate that can be read: {error}. Give a verdict or its file.") from error
    return _of_document(document_in(data, Path(proof)))


def _of_document(document: dict[str, Any], title: str = "") -> list[Picture]:
    parts = document["statement"].get("parts")
    if parts is not None:
        return [picture for part in parts for picture in _of_document(part, title)]
    return _trees(Picture(document, title + document["statement"]["kind"].replace("_", " ")))


def _trees(picture: Picture) -> list[Picture]:
    """The picture for each tree that the proof has over the whole box."""
    names = [name for name in TREES if name in picture.document["proof"]]
    if len(names) < 2:
        return [picture]
    return [replace(picture, tree=name, title=f"{picture.title}, {name}") for name in names]


def _of_verdict(verdict: Verdict) -> list[Picture]:
    if verdict.parts:
        return [picture for part in verdict.parts for picture in _part(part)]
    if verdict.certificate:
        document = document_in(verdict.certificate, Path("The verdict's certificate"))
        return [replace(one, marked=_marked(verdict)) for one in _of_document(document, "certified: ")]
    return _trees(_unfinished(verdict))


def _part(verdict: Verdict) -> list[Picture]:
    """A part of a conjunction: one that has no boxes is told in words, so that the others are drawn."""
    try:
        return _of_verdict(verdict)
    except UsageError:
        return [Picture({}, verdict.status, verdict.reason)]


def _unfinished(verdict: Verdict) -> Picture:
    """An open proof: its box is that of its leaves; of the statement it has the functions, and a level if one is given.

    It has no equilibrium: the plane goes through the state that refutes it.
    """
    if verdict.leaves is None or not verdict.trees:
        raise UsageError(f"The verdict has no boxes to draw: {verdict.status}. {verdict.reason}")
    lower, upper = verdict.leaves.lower.amin(0), verdict.leaves.upper.amax(0)
    if not bool((lower < upper).all()):
        raise UsageError("The verdict is about the faces of a box and is not certified; only certified ones are drawn.")
    n = len(verdict.trees["faces"]) if "faces" in verdict.trees else len(lower)
    sides = {"lower": lower.tolist(), "upper": upper.tolist()}
    boxes = {"box": slice(None, n), "disturbance": slice(n, None)}
    statement = {
        name: {side: [value.hex() for value in values[part]] for side, values in sides.items()}
        for name, part in boxes.items()
    }
    said = verdict.asked.get("statement", {})
    statement |= {name: said[name] for name in LEVELS if name in said}
    document = {"statement": statement, "graphs": verdict.asked.get("graphs", {}), "proof": dict(verdict.trees)}
    return Picture(document, verdict.status, verdict.reason, _marked(verdict))


def _marked(verdict: Verdict) -> tuple[Array, str] | None:
    if verdict.counterexample is not None:
        return verdict.counterexample.numpy(), "counterexample"
    return None if verdict.limiting_state is None else (verdict.limiting_state.numpy(), "limiting state")
