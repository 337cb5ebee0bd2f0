"""The typed settings of a verb, read from its arguments by tyro.

Only verbs import this file, and with it tyro; the help of `ctrlnet` itself does without.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tyro

from ctrlnet.errors import UsageError

if TYPE_CHECKING:
    from ctrlnet.training import Engine

__all__ = ["ResumeSettings", "TrainSettings", "parse", "parse_task", "require_positive"]

Settings = TypeVar("Settings")
Task = TypeVar("Task")
Carried = TypeVar("Carried")
DESCRIPTIONS = {
    "train": "Train the policy and candidates of a task into a run folder. "
    "'ctrlnet train --resume RUN' goes on with a training that was interrupted.",
    "run": "Train a task, certify it, check the certificates, validate in MuJoCo and write the report.",
}
HINT = "A NAME adds options of its own, and those of precision and checkpoints: see 'ctrlnet {verb} pendulum --help'."
JSON = "With --json: one JSON object a line on stdout and nothing else."


@dataclass(frozen=True)
class TrainSettings(Generic[Task, Carried]):
    """How a task is trained, and into which folder."""

    env: Task
    """The task itself; its options are its author's."""
    engine: Annotated[Carried, tyro.conf.arg(name="")]
    """Precision, parts of a batch, checkpoints: `ctrlnet.training.Engine`."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs/NAME)")] = None
    """Run folder to write."""
    overwrite: bool = False
    """Replace the folder if it is there already; the old one is removed only after success."""
    seed: int = 0
    """Seed of every random number."""
    device: str = "cpu"
    """torch device that trains: cpu, cuda, cuda:1."""
    optimizer: str = "adamw"
    """Optimizer plug-in ('ctrlnet plugins list')."""
    integrator: str = "rk4"
    """Integrator plug-in for trajectories in the loss."""
    resume: bool = False
    """Go on where an interrupted training into the same folder stands; begin where there is none."""
    any_versions: bool = False
    """Resume with other versions of packages and plug-ins too."""


@dataclass(frozen=True)
class ResumeSettings:
    """Go on with a training that was interrupted, from its folder alone."""

    run: tyro.conf.Positional[Path]
    """Run folder, or the RUN.partial in which its training stands."""
    any_versions: bool = False
    """Go on with other versions of packages and plug-ins too."""


@dataclass(frozen=True)
class _NoTask:
    """Stands for the task while none is named."""


@dataclass(frozen=True)
class _NoEngine:
    """Stands for the engine then, whose import takes a second."""


def parse(settings: type[Settings], arguments: list[str], prog: str, description: str = "") -> Settings:
    """The dataclass `settings` filled from the arguments.

    tyro prints what is wrong and ends the program with status 2; with --help, status 0.
    """
    text = f"{description or (settings.__doc__ or '').strip()} {JSON}"
    return tyro.cli(settings, args=arguments, prog=prog, description=text, config=(tyro.conf.FlagCreatePairsOff,))


def require_positive(**options: float | None) -> None:
    """Refuse options that are not positive and finite; None is one that was not given.

    Raises:
        UsageError: naming the first such option as it is typed.
    """
    for name, value in options.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be positive and finite.")


def parse_task(arguments: list[str], verb: str) -> tuple[str, TrainSettings[Any, Engine]]:
    """The task's name and the settings of `run` and `train`: NAME, then options, of which `--env.` are the task's own.

    Raises:
        UsageError: no name is given.
        NameNotFound: no environment or task has that name.
    """
    description = DESCRIPTIONS[verb]
    known = _known()
    name = _name(arguments, known)
    if name is None and set(arguments) & {"-h", "--help"}:
        parse(
            TrainSettings[_NoTask, _NoEngine],
            ["--help"],
            f"ctrlnet {verb} NAME",
            f"{description} {HINT.format(verb=verb)}",
        )
    if name is None:
        raise UsageError(f"'ctrlnet {verb}' needs the name of a task first: one of {', '.join(known)}.")
    from ctrlnet.training import Engine

    rest = list(arguments)
    rest.remove(name)
    author = _author(name, known)
    settings: Any = TrainSettings[author, Engine]  # type: ignore[valid-type]
    told = " ".join((description, *_arguments_of(author)))
    chosen: TrainSettings[Any, Engine] = parse(settings, rest, f"ctrlnet {verb} {name}", told)
    return name, chosen


def _arguments_of(author: Any) -> list[str]:
    """What the author's docstring says of each option, under its heading "Arguments": `--env.NAME: words.`"""
    section = (inspect.getdoc(author) or "").partition("## Arguments\n")[2].partition("\n\n")[0]
    told = [line.partition(":") for line in section.splitlines()]
    return [f"--env.{name.strip().replace('_', '-')}:{words}" for name, colon, words in told if colon]


def _known() -> dict[str, str]:
    """Every installed task: its name, and the kind of plug-in that it is."""
    from ctrlnet.plugins import names

    return {name: kind for kind in ("tasks", "environments") for name in names(kind)}


def _name(arguments: list[str], known: dict[str, str]) -> str | None:
    """The first argument when it is no option, otherwise the first that is the name of a task."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    return next((argument for argument in arguments if argument in known), None)


def _author(name: str, known: dict[str, str]) -> Any:
    """The class behind a task's name; `distribution:name` picks one of two. Unknown: NameNotFound with the nearest."""
    from ctrlnet.plugins import load

    return load(known.get(name.rpartition(":")[2], "environments"), name)
