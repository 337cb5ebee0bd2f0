"""Everything that a report shows, gathered from a run folder."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctrlnet.reports.curves import Trajectory
from ctrlnet.reports.leaves import document_of
from ctrlnet.reports.records import Record
from ctrlnet.reports.subject import Array, Subject

__all__ = ["Material", "certificates_of", "metrics_of", "trajectories_of", "validation_of", "video_of"]


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
        darkness: why there is no video, where more is to be said than how to get one.
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
    darkness: str = ""
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


def validation_of(path: Path, proved: Collection[str]) -> tuple[dict[str, Any] | None, str]:
    """validation.json when it is whole and about a certificate that holds now, otherwise why it is not shown.

    Args:
        path: of the file.
        proved: SHA-256 of each certificate that the checker confirms, as its first line gives it.
    """
    from ctrlnet.validation.sealing import is_sealed

    again = f"do ctrlnet validate {path.parent} again"
    if not path.exists():
        return None, f"Not validated in simulation yet: ctrlnet validate {path.parent}"
    try:
        document = json.loads(path.read_bytes())
        whole = isinstance(document, dict) and is_sealed(document)
    except ValueError:
        whole = False
    if not whole:
        return None, f"{path.name} is damaged, truncated or edited: {again}."
    if document.get("certificate") not in proved:
        return None, f"{path.name} is about another certificate than those of this run now: {again}."
    return document, ""


def video_of(path: Path, validation: Mapping[str, Any] | None) -> tuple[bytes | None, str]:
    """The film when it is the one that belongs to the validation shown, otherwise why it is not shown."""
    if validation is None:
        return None, ""
    wanted, data = validation.get("video"), path.read_bytes() if path.exists() else None
    if data is None:
        return None, f"The film is missing: do ctrlnet validate {path.parent} again." if wanted else ""
    if wanted is None:
        return None, f"The film in {path.name} is not of this validation: do ctrlnet validate {path.parent} again."
    if hashlib.sha256(data).hexdigest() != wanted:
        return None, f"The film is damaged: do ctrlnet validate {path.parent} again."
    return data, ""


def trajectories_of(validation: Mapping[str, Any] | None) -> list[Trajectory]:
    """The trajectories that validation stored for drawing."""
    stored = (validation or {}).get("trajectories") or []
    return [Trajectory(*(np.asarray(one[name], dtype=np.float64) for name in ("t", "x", "u", "V"))) for one in stored]


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")
