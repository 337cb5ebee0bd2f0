"""`ctrlnet train NAME`: train the policy and candidates of a task into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import TrainSettings, parse_task

if TYPE_CHECKING:
    from ctrlnet.runs import Run

__all__ = ["folder_of", "main", "require_usable", "train_run"]


def main(arguments: list[str], json: bool = False) -> int:
    """Train as the arguments say and name the folder."""
    console = Console(json)
    name, settings = parse_task(arguments, "train")
    folder = folder_of(name, settings)
    require_usable(settings, folder)
    train_run(settings, folder, console)
    console.say(f"trained: {folder}. Next: ctrlnet certify {folder}")
    return 0


def folder_of(name: str, settings: TrainSettings[Any]) -> Path:
    """The run folder asked for, runs/NAME by default."""
    return settings.out or Path("runs") / name.rpartition(":")[2]


def require_usable(settings: TrainSettings[Any], folder: Path) -> None:
    """Refuse what cannot be meant, before anything is said or trained.

    Raises:
        RunExists: the folder is taken.
        NameNotFound: no such optimizer or integrator.
    """
    from ctrlnet.plugins import load
    from ctrlnet.runs.folder import check_free

    check_free(folder, settings.overwrite)
    load("optimizers", settings.optimizer)
    load("integrators", settings.integrator)


def train_run(settings: TrainSettings[Any], folder: Path, console: Console) -> Run:
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
            progress=lambda step, steps, row: advance(step, steps, f"loss {row['loss']:.3g}"),
        )
    console.event("trained", run=str(folder))
    return run
