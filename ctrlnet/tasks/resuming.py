"""Going on with a training that was interrupted, from its folder alone."""

from __future__ import annotations

from pathlib import Path

from ctrlnet.errors import RunDamaged
from ctrlnet.runs import NAME, UNFINISHED, Run, clear_remains, read_document, unfinished
from ctrlnet.tasks.fitting import train
from ctrlnet.tasks.rebuilding import task_at
from ctrlnet.training import Engine, Progress


def resume(run: str | Path, *, any_versions: bool = False, progress: Progress | None = None) -> Run:
    """Go on with the training of a run folder where its last checkpoint stands; a finished run is left as it is.

    This imports the author's code, as `rebuild` does.

    Args:
        run: the folder, or the RUN.partial in which its training stands.
        any_versions: go on with other versions of packages and plug-ins too.
        progress: called with (step, steps, row of metrics.csv) now and then.

    Raises:
        RunDamaged: there is no training to go on with.
        UsageError: the task cannot be imported again, or something differs; the message lists what.
    """
    target = run_of(run)
    folder = unfinished(target)
    if not (folder / UNFINISHED).exists():
        if (target / NAME).exists():
            clear_remains(target)
            return Run(target)
        raise RunDamaged(f"There is no training to go on with in {folder}. Begin one: ctrlnet train NAME --out FOLDER.")
    settings, _ = read_document(folder / UNFINISHED)
    training, begun = settings["training"], settings["begun"]
    return train(
        task_at(settings["task"], str(folder)),
        optimizer=settings["plugins"]["optimizer"]["name"],
        integrator=settings["plugins"]["integrator"]["name"],
        seed=training["seed"],
        device=training["device"],
        out=target,
        engine=Engine(**begun["engine"]),
        resume=True,
        any_versions=any_versions,
        progress=progress,
    )


def run_of(run: str | Path) -> Path:
    """The run that a folder, RUN or RUN.partial, is to become."""
    path = Path(run)
    return path.with_name(path.name.removesuffix(".partial")) if (path / UNFINISHED).exists() else path
