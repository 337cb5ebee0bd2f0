"""The verb `train`."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ctrlnet import plugins
from ctrlnet.errors import UsageError
from ctrlnet.runs import (
    CHECKPOINTS,
    NAME,
    UNFINISHED,
    Run,
    check_choice,
    clear_remains,
    holds_checkpoints,
    read_document,
    staged,
    unfinished,
    write_run,
)
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.settings import require_same, settings_of
from ctrlnet.tasks.task import Options, Task
from ctrlnet.training import (
    Checkpoints,
    Engine,
    Metrics,
    Processes,
    Progress,
    State,
    Stopped,
    joined,
    local_device,
    metrics_csv,
    newest_whole,
    require_whole,
    unpacked,
)

_log = logging.getLogger("ctrlnet")
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
    resume: bool = False,
    any_versions: bool = False,
    engine: Engine = Engine(),  # noqa: B008  frozen
    progress: Progress | None = None,
) -> Run:
    """Train the policy and candidates of a task into a run folder, which appears whole or not at all.

    The same seed gives the same weights on the same machine and versions. Training is on one torch device, in the
    precision of the task's networks, or on one a process under torchrun. Until it ends, the run is the folder
    OUT.partial with its checkpoints; SIGINT and SIGTERM stop it after one more checkpoint.

    Args:
        task: an environment, a task, or the name of an installed one.
        optimizer, integrator: names of plug-ins; the integrator serves trajectories in the loss.
        seed: of every random number.
        device: of torch, "cpu" or "cuda".
        out: the folder; runs/NAME when None.
        overwrite: replace a run that is there already, once the new one is complete.
        resume: go on where an interrupted training into the same folder stands, bit for bit on the CPU; begin where
            there is none; a finished run is left as it is.
        any_versions: resume with other versions of packages and plug-ins too.
        engine: precision, parts of a batch, compilation, checkpoints.
        progress: called with (step, steps, row of metrics.csv) now and then.

    Raises:
        RunExists: the folder is there already, or an unfinished training of it.
        NonFinite: NaN or infinity in loss, gradient or weights.
        Stopped: (a KeyboardInterrupt) a signal came, and the checkpoint is written.
        UsageError: no such plug-in or device, a task that cannot be meant, or to be resumed is another training.
        OSError: a full disk; the last checkpoint stays.
    """
    told = task_of(task)
    _check_options(optimizer=optimizer, integrator=integrator, device=device, seed=seed, engine=engine)
    check_choice(overwrite, resume)
    target = Path("runs") / told.name if out is None else Path(out)
    options = Options(optimizer, integrator, seed, device, progress, engine)
    with joined(device) as processes:
        settings = settings_of(told, options, processes.size)
        if resume and _finished(target):
            require_same(Run(target).settings, settings, any_versions=any_versions)
            clear_remains(target)
            return Run(target)
        begun = _begun(target, settings, any_versions) if resume else {}
        overwrite = overwrite or bool(begun.get("overwrite", False))
        try:
            _train(
                told, options, target, settings, processes,
                overwrite=overwrite, resume=resume, any_versions=any_versions,
            )  # fmt: skip
        except Stopped as stop:
            raise Stopped(f"{stop} Go on: ctrlnet train --resume {target}", stop.number) from None
        except OSError as cause:
            if holds_checkpoints(unfinished(target)):
                cause.add_note(f"The last checkpoint stays. Once it can be written: ctrlnet train --resume {target}")
            raise
        processes.wait()
        return Run(target)


def _train(
    task: Task,
    options: Options,
    target: Path,
    settings: dict[str, Any],
    processes: Processes,
    *,
    overwrite: bool,
    resume: bool,
    any_versions: bool,
) -> None:
    """Train in the unfinished folder; process 0 writes, the others are told what it has found there."""
    engine, first = options.engine, processes.rank == 0
    begun = {"overwrite": overwrite, "engine": asdict(engine)}
    if first and not (origin := settings["task"]["plugin"])["importable"]:
        _log.warning("the run will not be rebuilt from its folder: %s cannot be imported again", origin["value"])
    accept = partial(_accept, settings=settings, any_versions=any_versions)
    place = staged(target, overwrite, resume=resume, settings={**settings, "begun": begun}, accept=accept)
    with place if first else nullcontext(unfinished(target)) as folder:
        found = _found(folder, processes, options.device) if resume else None
        checkpoints = Checkpoints(
            folder / CHECKPOINTS,
            found,
            every_seconds=engine.checkpoint_seconds,
            every_steps=engine.checkpoint_steps,
            keep=engine.keep,
            settings=settings,
        )
        metrics = Metrics(folder, engine.tensorboard) if first else None
        trained = task.train(replace(options, checkpoints=checkpoints, metrics=metrics))
        if first:
            write_run(
                folder,
                settings,
                policy=trained.policy.state_dict(),
                candidates={name: module.state_dict() for name, module in trained.candidates.items()},
                metrics=metrics_csv(trained.rows),
            )


def _accept(folder: Path, settings: dict[str, Any], any_versions: bool) -> None:
    """Compare the checkpoint to go on from: it may have got into the folder from another training."""
    if data := newest_whole(folder / CHECKPOINTS):
        kept = unpacked(data, str(folder)).get("settings", {})
        require_same(kept, settings, any_versions=any_versions)


def _found(folder: Path, processes: Processes, device: str) -> State | None:
    """The newest whole checkpoint, the same in all processes."""
    data = newest_whole(folder / CHECKPOINTS) if processes.rank == 0 else b""
    data = processes.bytes_of_first(data, torch.device(local_device(device)))
    if not data:
        _log.info("%s has no checkpoint: the training begins", folder)
        return None
    state = unpacked(data, str(folder))
    require_whole(state, f"The newest checkpoint of {folder}")
    _log.info("going on after step %d", state["place"]["step"])
    return state


def _finished(target: Path) -> bool:
    return (target / NAME).exists() and not unfinished(target).exists()


def _begun(target: Path, settings: dict[str, Any], any_versions: bool) -> dict[str, Any]:
    """How the training in the unfinished folder was begun, which has to be the one that is to go on."""
    path = unfinished(target) / UNFINISHED
    if not path.exists():
        return {}
    kept, _ = read_document(path)
    begun: dict[str, Any] = kept.pop("begun", {})
    require_same(kept, settings, any_versions=any_versions)
    return begun


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


def _check_options(*, seed: object, engine: object, **names: object) -> None:
    """Refuse a class or an object where a name belongs: run.toml keeps names."""
    for option, name in names.items():
        if not isinstance(name, str):
            allowed = "'cpu' or 'cuda'" if option == "device" else ", ".join(plugins.names(f"{option}s"))
            raise UsageError(f"{option} is {name!r}; give a name: {allowed}.{_ADVICE.get(option, '')}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed!r}; give an integer from 0 to 2**63 - 1, such as 0.")
    if not isinstance(engine, Engine):
        raise UsageError(f"engine is {engine!r}; give an Engine, such as ctrlnet.Engine(accumulate=2).")
