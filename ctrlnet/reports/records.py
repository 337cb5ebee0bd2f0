"""What became of a statement, kept beside its certificate: `certificates/NAME.json`, format 1.

The certificate is the proof and is all that the checker reads. The record names it by its SHA-256 and holds the figures
around it, for the report and the summary: the level that dense sampling allows, the area of the region, the seconds of
the search; and it exists for a statement that has no certificate too, falsified or undecided. Its own "digest" tells
an edit.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ctrlnet.errors import RunDamaged, RunFormat

__all__ = ["FORMAT", "Checked", "Record", "Region"]

FORMAT = 1


@dataclass(frozen=True)
class Region:
    """Size of the certified set, in the product of the state's units.

    Attributes:
        volume: of {V <= level}, by sampling.
        error: standard error of that estimate.
        box: volume of the box in which the region lies.
        controllable: volume of the null-controllable set, where the task knows it.
        memory: how many of the last states are the policy's own; set and box are of the others, with these at rest.
    """

    volume: float
    error: float
    box: float
    controllable: float | None = None
    memory: int = 0


@dataclass(frozen=True)
class Checked:
    """What the independent checker said.

    Attributes:
        confirmed: whether it confirms the statement.
        leaves: leaves of the proof that it went through.
        seconds: time it took [s].
        exact: whether elementary functions were enclosed by ball arithmetic.
        reason: why it does not confirm; empty otherwise.
    """

    confirmed: bool
    leaves: int
    seconds: float
    exact: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """One statement of a run: verdict, figures, theorem in words.

    Attributes:
        name: of the statement; its certificate is certificates/NAME.cert.
        kind: class of the condition.
        status: "certified", "falsified" or "undecided".
        level: largest level proved, in units of V.
        sampled_level: largest level at which dense sampling finds no violation: evidence, no proof.
        rate: of the exponential decrease [1/s].
        boxes: that the prover went through.
        seconds: of the prover's search [s].
        certificate: SHA-256 of the certificate, of every byte after its first line; empty without one.
    """

    name: str
    kind: str
    status: str
    level: float | None
    sampled_level: float | None
    rate: float | None
    boxes: int
    seconds: float
    reason: str = ""
    statement: str = ""
    assumptions: tuple[str, ...] = ()
    counterexample: tuple[float, ...] | None = None
    region: Region | None = None
    checked: Checked | None = None
    certificate: str = ""

    @property
    def ratio(self) -> float | None:
        """level / sampled_level, or None where one is missing."""
        return self.level / self.sampled_level if self.level and self.sampled_level else None

    def as_json(self) -> bytes:
        """The record as the bytes of its file."""
        from ctrlnet.validation.sealing import sealed

        document = sealed({"format": FORMAT, **asdict(self)})
        return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record in a file.

        Raises:
            RunDamaged: the file is truncated or edited.
            RunFormat: another format wrote it.
        """
        from ctrlnet.validation.sealing import is_sealed

        try:
            document = json.loads(path.read_bytes())
            version = document["format"]
            if version != FORMAT:
                raise RunFormat(f"{path} has format {version!r}; this ctrlnet reads format {FORMAT}.")
            if not is_sealed(document):
                raise ValueError("it was edited: its digest does not fit")
            del document["format"], document["digest"]
            return cls(**_typed(document))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunDamaged(f"{path} is not a whole record ({error}). Write it again: ctrlnet certify RUN.") from error


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(document) - {one.name for one in fields(Record)})
    if unknown:
        raise ValueError(f"unknown entries {', '.join(unknown)}")
    nested = {"region": Region, "checked": Checked}
    for name, kind in nested.items():
        if document.get(name) is not None:
            document[name] = kind(**document[name])
    for name in ("assumptions", "counterexample"):
        if document.get(name) is not None:
            document[name] = tuple(document[name])
    return document
