"""From a run folder to its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctrlnet.errors import CtrlnetError
from ctrlnet.reports.material import Material, metrics_of, validation_of, video_of
from ctrlnet.reports.page import page_of
from ctrlnet.reports.subject import Subject
from ctrlnet.reports.vouching import vouched
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
    rebuilt, obstacle = _rebuilt(run)
    records = vouched(run, rebuilt)
    proved = {record.certificate for record in records if record.status == "certified"}
    validation, stale = validation_of(folder / "validation.json", proved)
    video, darkness = video_of(folder / "video.mp4", validation)
    return Material(
        folder=folder,
        name=run.name,
        parameters=run.parameters,
        settings=run.settings,
        metrics=metrics_of(folder / "metrics.csv"),
        records=records,
        certificates=run.certificate_paths,
        validation=validation,
        stale=stale,
        video=video,
        darkness=darkness,
        subject=None if rebuilt is None else subject_of(rebuilt),
        obstacle=obstacle,
    )


def _rebuilt(run: Run) -> tuple[Rebuilt | None, str]:
    """The objects of a run, or why its task cannot be built again."""
    from ctrlnet.tasks import rebuild

    try:
        return rebuild(run), ""
    except (CtrlnetError, ImportError) as error:
        return None, f"the task {run.name!r} cannot be built again: {error}"


def subject_of(rebuilt: Rebuilt) -> Subject:
    """The mathematics of a run for drawing."""
    loop, box = rebuilt.system, rebuilt.box
    plant, n = loop.plant, box.dimension
    limits = None if plant.limits is None else (plant.limits.lower.numpy(), plant.limits.upper.numpy())
    at = rebuilt.environment.whole.equilibrium
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
        memory=0 if plant.memory is None else plant.memory.size,
    )
