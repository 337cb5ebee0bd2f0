"""From a run folder to its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrlnet.errors import CtrlnetError
from ctrlnet.reports.material import Material, certificates_of, metrics_of, validation_of
from ctrlnet.reports.page import page_of
from ctrlnet.reports.records import Record
from ctrlnet.reports.subject import Subject
from ctrlnet.runs import Run, write_aside
from ctrlnet.simulation import numpy_function

if TYPE_CHECKING:
    from ctrlnet.tasks.rebuilding import Rebuilt

__all__ = ["gather", "written"]

PAGE = "report.html"


def written(run: Run | Path | str) -> Path:
    """The report of a run, written into its folder; see `ctrlnet.reports.report`."""
    material = gather(run if isinstance(run, Run) else Run(run))
    path = material.folder / PAGE
    write_aside(path, page_of(material).encode())
    return path


def gather(run: Run) -> Material:
    """Everything that the page shows."""
    folder = run.path
    records, certificates = certificates_of(folder)
    subject, obstacle = _subject(run)
    validation, stale = _current(validation_of(folder / "validation.json"), records, folder)
    video = folder / "video.mp4"
    return Material(
        folder=folder,
        name=run.name,
        parameters=run.parameters,
        settings=run.settings,
        metrics=metrics_of(folder / "metrics.csv"),
        records=records,
        certificates=certificates,
        validation=validation,
        stale=stale,
        video=video.read_bytes() if video.exists() else None,
        subject=subject,
        obstacle=obstacle,
    )


def _current(
    validation: dict[str, Any] | None, records: tuple[Record, ...], folder: Path
) -> tuple[dict[str, Any] | None, str]:
    """The validation when it is of a level that is certified now, otherwise why it is not shown."""
    if validation is None:
        return None, f"Not validated in simulation yet: ctrlnet validate {folder}"
    if validation["level"] in [record.level for record in records if record.status == "certified"]:
        return validation, ""
    told = f"validation.json is about the level {validation['level']:g}, which is not certified any more."
    return None, f"{told} Do it again: ctrlnet validate {folder}"


def _subject(run: Run) -> tuple[Subject | None, str]:
    """System, policy and candidates as numpy functions, or why the run's task cannot be built again."""
    from ctrlnet.tasks import rebuild

    try:
        return subject_of(rebuild(run)), ""
    except (CtrlnetError, ImportError) as error:
        return None, f"the task {run.name!r} cannot be built again: {error}"


def subject_of(rebuilt: Rebuilt) -> Subject:
    """The mathematics of a run for drawing."""
    loop, box = rebuilt.system, rebuilt.box
    plant, n = loop.plant, box.dimension
    limits = None if plant.limits is None else (plant.limits.lower.numpy(), plant.limits.upper.numpy())
    at = rebuilt.environment.equilibrium
    return Subject(
        state=tuple((name, unit) for name, unit in plant.state),
        control=tuple((name, unit) for name, unit in plant.control),
        limits=limits,
        lower=box.lower.numpy(),
        upper=box.upper.numpy(),
        equilibrium=np.array([float(number) for number in at]),
        field=numpy_function(loop, (n,), "field"),
        policy=numpy_function(rebuilt.policy, (plant.m,), "policy"),
        candidates={name: numpy_function(one.V, (), name) for name, one in rebuilt.conditions.items()},
    )
