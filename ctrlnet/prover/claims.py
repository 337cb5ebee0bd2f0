"""What `certify` sets out to prove: a condition and a system as goals of a search and as text of a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.prover.certificate import Json, corners, graph_document, number
from ctrlnet.prover.equilibrium import Neighbourhood
from ctrlnet.prover.forest import Forest
from ctrlnet.prover.goals import Goal, Problem, faces, pinned
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.model import Model
from ctrlnet.sets import Box


@dataclass(frozen=True)
class Claim:
    """A statement of one kind.

    numbers: what the statement says beside its kind, box, disturbance and level, in the certificate's text.
    level_name: what the certificate calls the level that the search finds; None where there is none.
    level: the level asked for; None for the largest.
    above: what a level must exceed.
    loop: what the proof at the equilibrium is about; None where no leaf needs it.
    notes: sentences on what the states are, which the certificate adds to its assumptions.
    """

    kind: str
    words: str
    model: Model
    problem: Problem
    numbers: Mapping[str, Any] = field(default_factory=dict)
    level_name: str | None = None
    level: float | None = None
    above: float = 0.0
    loop: Loop | None = None
    notes: tuple[str, ...] = ()

    def document(self, level: float | None) -> Json:
        """The parts of the certificate that say what is claimed: `statement` and `graphs`."""
        statement: Json = {"kind": self.kind, "box": corners(self.model.box.lower, self.model.box.upper)}
        if self.model.disturbance is not None:
            statement["disturbance"] = corners(self.model.disturbance.lower, self.model.disturbance.upper)
        statement.update(self.numbers)
        if self.level_name is not None:
            statement[self.level_name] = number(1.0 if level is None else level)
        graphs = {name: graph_document(*original) for name, original in self.model.originals.items()}
        return {"statement": statement, "graphs": graphs}

    def proof(self, forest: Forest, local: Neighbourhood | None) -> Json:
        """The trees of the goals, and the box at the equilibrium."""
        proof: Json = {}
        if local is not None:
            proof["equilibrium"] = local.document()
        for tree, goal in enumerate(self.problem.goals):
            text = forest.encode(tree)
            if goal.face is None:
                proof[goal.name] = text
            else:
                proof.setdefault(goal.name, [["", ""] for _ in range(self.model.n)])[goal.face[0]][goal.face[1]] = text
        return proof


def faces_above(model: Model) -> list[Goal]:
    """V exceeds the level on every face of the box: the level set lies in its interior."""
    lower, upper = pinned(model.lower, model.upper, model.n)
    found = faces(lower, upper, model.n)
    return [Goal("faces", low, high, (), levelled=True, face=face) for face, low, high in found]


def faces_inward(model: Model, field_node: int, where: tuple[int, ...] = ()) -> list[Goal]:
    """On every face of the box the field points inward, or a side condition excludes the state."""
    return [
        Goal("faces", low, high, (model.entry(field_node, axis, -1 if side else 1),), where, face=(axis, side))
        for (axis, side), low, high in faces(model.lower, model.upper, model.n)
    ]


def equilibrium_of(at: Any, box: Box) -> tuple[Fraction, ...]:
    """x* in rationals, checked to lie inside the box; None is the origin."""
    given: Any = (0.0,) * box.dimension if at is None else at
    exact = tuple(Fraction(value) for value in (given.tolist() if isinstance(given, torch.Tensor) else given))
    if len(exact) != box.dimension:
        raise ShapeError(
            f"The equilibrium has {len(exact)} entries and the box {box.dimension}; give one a coordinate."
        )
    rounded = box.center.new_tensor([float(value) for value in exact])
    if not bool(((box.lower < rounded) & (rounded < box.upper)).all()):
        raise UsageError(f"The equilibrium {rounded.tolist()} is not inside {box}. Give a box with it in its interior.")
    return exact


def positive_level(level: Any) -> float | None:
    """The level asked for: a positive number, or None."""
    found = finite_level(level)
    if found is not None and not found > 0:
        raise UsageError(
            f"level is {level}; it must be positive and finite, or None for the largest that can be proved."
        )
    return found


def finite_level(level: Any) -> float | None:
    if isinstance(level, str):
        raise UsageError(f"level is the text {level!r}; give a number.")
    found = None if level is None else float(level)
    if found is not None and not abs(found) < float("inf"):
        raise UsageError(f"level is {level}; it must be finite, or None for the largest that can be proved.")
    return found


def no_level(level: Any, condition: Any) -> None:
    """Refuse a level for a statement that has none."""
    if level is not None:
        raise UsageError(f"{type(condition).__name__} has no level; got level={level}. Leave it out.")
