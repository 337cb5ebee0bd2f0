"""The verb `train`."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ctrlnet import plugins
from ctrlnet.errors import UsageError
from ctrlnet.runs import Run, staged, write_run
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.origin import origin_of
from ctrlnet.tasks.task import Options, Task
from ctrlnet.training import Progress, metrics_csv

_log = logging.getLogger("ctrlnet")
_PACKAGES = ("ctrlnet", "torch", "numpy", "safetensors")
_INSTALL = " One of your own gets a name as a plug-in: 'ctrlnet plugins new NAME --kind %s'."
_ADVICE = {kind: _INSTALL % kind for kind in ("optimizer", "integrator")}


def train(
    task: Environment | Task | str,
    *,
    optimizer: str = "adamw",
    integrator: str = "rk4",
    seed: int = 0,
    device: str = "cpu",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train the policy and candidates of a task into a run folder, which appears whole or not at all.

    The same seed gives the same weights on the same machine and versions. Training is on one torch device, in the
    precision of the task's networks.

    Args:
        task: an environment, a task, or the name of an installed one.
        optimizer, integrator: names of plug-ins; the integrator serves trajectories in the loss.
        seed: of every random number.
        device: of torch, "cpu" or "cuda".
        out: the folder; runs/NAME when None.
        overwrite: replace a run that is there already, once the new one is complete.
        progress: called with (step, steps, row of metrics.csv) now and then.

    Raises:
        RunExists: the folder is there already.
        NonFinite: NaN or infinity in loss, gradient or weights.
        UsageError: no such plug-in or device, a task that cannot be meant.
    """
    told = task_of(task)
    _check_options(optimizer=optimizer, integrator=integrator, device=device, seed=seed)
    options = Options(optimizer, integrator, seed, device, progress)
    settings = _settings(told, options)
    if not (origin := settings["task"]["plugin"])["importable"]:
        _log.warning("the run will not be rebuilt from its folder: %s cannot be imported again", origin["value"])
    with staged(Path("runs") / told.name if out is None else Path(out), overwrite) as folder:
        trained = told.train(options)
        write_run(
            folder,
            settings,
            policy=trained.policy.state_dict(),
            candidates={name: module.state_dict() for name, module in trained.candidates.items()},
            metrics=metrics_csv(trained.rows),
        )
    return Run(Path("runs") / told.name if out is None else out)


def task_of(task: Environment | Task | str) -> Task:
    """The task meant: by name, by environment, or itself.

    Raises:
        UsageError: it is none of them (NameNotFound: no such name).
    """
    found: Any = plugins.make(task) if isinstance(task, str) else task
    if isinstance(found, Environment):
        return EnvironmentTask(found)
    advice = "Give an environment, such as ctrlnet.make('pendulum'), or the name of an installed one."
    if isinstance(found, type):
        raise UsageError(f"{found.__name__} is a class; build one: {found.__name__}(). {advice}")
    missing = [part for part in ("name", "parameters", "train", "untrained", "statements") if not hasattr(found, part)]
    if missing:
        raise UsageError(f"{task!r} is no task: it lacks {', '.join(missing)}. {advice}")
    told: Task = found
    return told


def _check_options(*, seed: object, **names: object) -> None:
    """Refuse a class or an object where a name belongs: run.toml keeps names."""
    for option, name in names.items():
        if not isinstance(name, str):
            allowed = "'cpu' or 'cuda'" if option == "device" else ", ".join(plugins.names(f"{option}s"))
            raise UsageError(f"{option} is {name!r}; give a name: {allowed}.{_ADVICE.get(option, '')}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed!r}; give an integer from 0 to 2**63 - 1, such as 0.")


def _settings(task: Task, options: Options) -> dict[str, Any]:
    """What run.toml says: how to build the task again, how it was trained, with which versions."""
    plugin = {
        kind: {"name": name, **plugins.provenance(f"{kind}s", name)}
        for kind, name in (("optimizer", options.optimizer), ("integrator", options.integrator))
    }
    return {
        "task": {"name": task.name, "parameters": task.parameters, "plugin": origin_of(task)},
        "training": {"seed": options.seed, "device": options.device, "recipe": task.recipe_settings()},
        "plugins": plugin,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
