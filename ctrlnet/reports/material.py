"""Everything that a report shows, gathered from a run folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctrlnet.errors import RunDamaged
from ctrlnet.reports.curves import Trajectory
from ctrlnet.reports.leaves import document_of
from ctrlnet.reports.records import Record
from ctrlnet.reports.subject import Array, Subject

__all__ = ["Material", "certificates_of", "metrics_of", "trajectories_of", "validation_of"]


@dataclass(frozen=True)
class Material:
    """What the page is made of; what a run does not have yet is empty or None.

    Attributes:
        folder: of the run.
        name: of the task.
        parameters: of the task, by name.
        settings: run.toml.
        metrics: columns of metrics.csv.
        records: one a statement.
        certificates: file of each statement that has one.
        validation: validation.json.
        stale: why there is no validation.
        video: mp4 bytes.
        subject: system, policy and candidates, where they can be imported again.
        obstacle: why there is no subject.
    """

    folder: Path
    name: str
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any]
    metrics: Mapping[str, Array] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    certificates: Mapping[str, Path] = field(default_factory=dict)
    validation: Mapping[str, Any] | None = None
    stale: str = ""
    video: bytes | None = None
    subject: Subject | None = None
    obstacle: str = ""

    def document(self, name: str) -> dict[str, Any] | None:
        """The certificate of a statement as JSON, or None where it has none."""
        path = self.certificates.get(name)
        return None if path is None else document_of(path)


def metrics_of(path: Path) -> dict[str, Array]:
    """Columns of metrics.csv; empty when there is none, NaN where a cell is empty or no number."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {name: np.array([_number(row[name]) for row in rows]) for name in names}


def certificates_of(folder: Path) -> tuple[tuple[Record, ...], dict[str, Path]]:
    """Records and certificate files of a run, by the names of its statements."""
    home = folder / "certificates"
    records = tuple(Record.read(path) for path in sorted(home.glob("*.json")))
    return records, {path.stem: path for path in sorted(home.glob("*.cert"))}


def validation_of(path: Path) -> dict[str, Any] | None:
    """validation.json, or None when there is none.

    Raises:
        RunDamaged: it is not whole.
    """
    if not path.exists():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise RunDamaged(f"{path} is not whole ({error}). Write it again: ctrlnet validate {path.parent}.") from error
    return document


def trajectories_of(validation: Mapping[str, Any] | None) -> list[Trajectory]:
    """The trajectories that validation stored for drawing."""
    stored = (validation or {}).get("trajectories") or []
    return [Trajectory(*(np.asarray(one[name], dtype=np.float64) for name in ("t", "x", "u", "V"))) for one in stored]


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")
