"""From a run folder back to the objects it was made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from ctrlnet import plugins
from ctrlnet.conditions import ExponentialStability
from ctrlnet.errors import RunDamaged, UsageError
from ctrlnet.runs import Run
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.fitting import task_of
from ctrlnet.tasks.origin import OBJECT, environment_at
from ctrlnet.tasks.task import Statement, Task
from ctrlnet.training import check_weights

_log = logging.getLogger("ctrlnet")


@final
@dataclass(frozen=True)
class Rebuilt:
    """A run's objects.

    Attributes:
        run: the folder.
        task: built from its name and parameters.
        policy: with the weights of the run.
        candidates: likewise, by name.
        statements: what is to be proved, by name.
    """

    run: Run
    task: Task
    policy: nn.Module
    candidates: dict[str, nn.Module]
    statements: dict[str, Statement]

    @property
    def environment(self) -> Environment:
        """The environment of the task.

        Raises:
            UsageError: the task is not made of one.
        """
        if not isinstance(self.task, EnvironmentTask):
            raise UsageError(f"The task '{self.task.name}' is not made of an environment.")
        return self.task.environment

    @property
    def conditions(self) -> dict[str, ExponentialStability]:
        """The condition of each statement, by name."""
        return {name: statement.condition for name, statement in self.statements.items()}

    @property
    def system(self) -> ClosedLoop:
        """The closed loop of the first statement."""
        return next(iter(self.statements.values())).system

    @property
    def box(self) -> Box:
        """The box of the first statement."""
        return next(iter(self.statements.values())).box


def rebuild(run: Run | str | Path) -> Rebuilt:
    """The objects of a run: its task made anew, policy and candidates with the weights of the folder.

    This imports the author's code, a plug-in or the module that run.toml names, and runs it: open runs that you trust.

    Raises:
        RunDamaged: the folder is incomplete or edited, or its weights do not fit.
        UsageError: the run was made of objects that cannot be imported again, or not here (NameNotFound: no such
            plug-in).
        NonFinite: NaN or infinity among the weights.
    """
    run = run if isinstance(run, Run) else Run(run)
    return assembled(run, task_at(run.settings.get("task", {}), str(run.path)))


def task_at(kept: Mapping[str, Any], place: str) -> Task:
    """The task that run.toml tells of, built anew.

    Args:
        kept: its name, parameters and plug-in.
        place: the folder, named in errors.

    Raises:
        UsageError: it cannot be imported again, or not here (NameNotFound: no such plug-in).
    """
    origin, parameters = kept.get("plugin", {}), kept.get("parameters", {})
    if not origin.get("importable", False):
        raise UsageError(
            f"{place} was made of objects that cannot be imported again: {origin.get('value', 'unknown')} is no "
            "installed plug-in, and no class of an importable module that its fields build again. The run can be "
            "checked and reported; to certify or validate it, move the class to the top level of a module other than "
            "the script that runs, or install it as a plug-in, and train again."
        )
    if origin["kind"] == OBJECT:
        return task_of(environment_at(origin["value"], parameters))
    name = f"{origin['distribution']}:{kept.get('name', '')}"
    current = plugins.provenance(origin["kind"], name)
    if current["version"] != origin["version"]:
        _log.warning("%s was made with %s %s; %s is installed", place, name, origin["version"], current["version"])
    return task_of(plugins.make(name, **parameters))


def assembled(run: Run, task: Task) -> Rebuilt:
    """Like `rebuild`, for a task that is at hand.

    Raises:
        RunDamaged, NonFinite: as `rebuild`.
    """
    fresh = task.untrained()
    policy = _loaded(fresh.policy, run.policy_weights(), "policy", run)
    candidates = {
        name: _loaded(module, run.candidate_weights(name), f"candidate {name}", run)
        for name, module in fresh.candidates.items()
    }
    return Rebuilt(run, task, policy, candidates, task.statements(policy, candidates))


def _loaded(module: nn.Module, weights: Mapping[str, Tensor], what: str, run: Run) -> nn.Module:
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as cause:
        raise RunDamaged(
            f"The weights of the {what} in {run.path} do not fit what '{run.name}' builds now: {cause} "
            "The environment has changed since; install the version that run.toml names, or train again."
        ) from cause
    check_weights(module)
    return module.eval()
