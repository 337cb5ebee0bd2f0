"""The verb `train`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ctrlnet import plugins
from ctrlnet.errors import PluginError, UsageError
from ctrlnet.runs import Run, staged, write_run
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.task import Options, Task
from ctrlnet.training import Progress, metrics_csv

_PACKAGES = ("ctrlnet", "torch", "numpy", "safetensors")


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
    options = Options(optimizer, integrator, seed, device, progress)
    settings = _settings(told, options)
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


def _settings(task: Task, options: Options) -> dict[str, Any]:
    """What run.toml says: how to build the task again, how it was trained, with which versions."""
    plugin = {
        kind: {"name": name, **plugins.provenance(f"{kind}s", name)}
        for kind, name in (("optimizer", options.optimizer), ("integrator", options.integrator))
    }
    return {
        "task": {"name": task.name, "parameters": task.parameters, "plugin": _origin(task)},
        "training": {"seed": options.seed, "device": options.device, "recipe": task.recipe_settings()},
        "plugins": plugin,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _origin(task: Task) -> dict[str, Any]:
    """Where the task comes from; `importable` says whether its name leads back to the same class."""
    author = type(task.environment if isinstance(task, EnvironmentTask) else task)
    for kind in ("environments", "tasks"):
        for plugin in (one for one in plugins.describe(kind) if one.name == task.name):
            name = f"{plugin.distribution}:{plugin.name}"
            if _loaded(kind, name) is author:
                return {"importable": True, "kind": kind, **plugins.provenance(kind, name)}
    return {"importable": False, "value": f"{author.__module__}:{author.__qualname__}"}


def _loaded(kind: str, name: str) -> object:
    try:
        return plugins.load(kind, name)
    except PluginError:  # someone else's plug-in of the same name
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
