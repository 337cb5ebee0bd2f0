"""`ctrlnet train NAME`: train the policy and candidates of a task into a run folder; `--resume RUN` goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import ResumeSettings, TrainSettings, parse, parse_task

if TYPE_CHECKING:
    from ctrlnet.runs import Run
    from ctrlnet.training import Progress

__all__ = ["folder_of", "main", "require_usable", "train_run"]


def main(arguments: list[str], json: bool = False) -> int:
    """Train as the arguments say and name the folder."""
    console = Console(json)
    if arguments[:1] == ["--resume"]:
        folder = resume_run(parse(ResumeSettings, arguments[1:], "ctrlnet train --resume"), console).path
    else:
        name, settings = parse_task(arguments, "train")
        folder = folder_of(name, settings)
        require_usable(settings, folder)
        train_run(settings, folder, console)
    console.say(f"trained: {folder}. Next: ctrlnet certify {folder}")
    return 0


def folder_of(name: str, settings: TrainSettings[Any, Any]) -> Path:
    """The run folder asked for, runs/NAME by default."""
    return settings.out or Path("runs") / name.rpartition(":")[2]


def require_usable(settings: TrainSettings[Any, Any], folder: Path) -> None:
    """Refuse what cannot be meant, before anything is said or trained.

    Raises:
        UsageError: both resume and overwrite are asked for.
        RunExists: the folder is taken.
        NameNotFound: no such optimizer or integrator.
    """
    from ctrlnet.plugins import load
    from ctrlnet.runs.folder import check_choice, check_free

    check_choice(settings.overwrite, settings.resume)
    check_free(folder, settings.overwrite or settings.resume)
    load("optimizers", settings.optimizer)
    load("integrators", settings.integrator)


def train_run(settings: TrainSettings[Any, Any], folder: Path, console: Console) -> Run:
    """Train with a progress bar; the folder appears whole or not at all."""
    from ctrlnet.tasks import train

    with keeping(folder), console.progress("train") as advance:
        run = train(
            settings.env,
            optimizer=settings.optimizer,
            integrator=settings.integrator,
            seed=settings.seed,
            device=settings.device,
            out=folder,
            overwrite=settings.overwrite,
            resume=settings.resume,
            any_versions=settings.any_versions,
            engine=settings.engine,
            progress=_told(advance),
        )
    console.event("trained", run=str(folder))
    return run


def resume_run(settings: ResumeSettings, console: Console) -> Run:
    """Go on with a training, with a progress bar."""
    from ctrlnet.tasks import resume
    from ctrlnet.tasks.resuming import run_of

    with keeping(run_of(settings.run)), console.progress("train") as advance:
        run = resume(settings.run, any_versions=settings.any_versions, progress=_told(advance))
    console.event("trained", run=str(run.path))
    return run


def _told(advance: Callable[..., None]) -> Progress:
    """Advances a bar, with loss, share of violating states, speed and time left."""
    first: list[tuple[int, float]] = []

    def told(step: int, steps: int, row: dict[str, float]) -> None:
        first.append((step, row["seconds"]))
        words = [f"loss {row['loss']:.3g}"]
        if "violating" in row:
            words.append(f"violating {100 * row['violating']:.2g} %")
        done, seconds = step - first[0][0], row["seconds"] - first[0][1]
        if done and seconds > 0:
            words.append(f"{done / seconds:.3g} steps/s, at most {(steps - step) * seconds / done:.0f} s left")
        del first[1:]
        advance(step, steps, ", ".join(words))

    return told
