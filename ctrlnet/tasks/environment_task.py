"""The task that an environment makes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

from ctrlnet import plugins
from ctrlnet.devices import device_named
from ctrlnet.errors import UsageError
from ctrlnet.systems import ClosedLoop
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.recipe import Recipe
from ctrlnet.tasks.task import Options, Statement, Trained
from ctrlnet.training import (
    Engine,
    LinearFeedback,
    Processes,
    RegionObjective,
    Row,
    StateSampler,
    check_weights,
    fit,
    local_device,
    optimizer_named,
    seeded,
)

_log = logging.getLogger("ctrlnet")


@final
@dataclass(frozen=True)
class EnvironmentTask:
    """Train an environment's policy and candidates by its recipe, and state what is to be proved of them."""

    environment: Environment

    @property
    def name(self) -> str:
        """Name of the plug-in."""
        return self.environment.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Fields of the environment's dataclass; none when it is no dataclass."""
        author = self.environment
        return dataclasses.asdict(author) if dataclasses.is_dataclass(author) else {}

    def recipe_settings(self) -> dict[str, Any]:
        """The environment's recipe."""
        return self.environment.recipe.as_settings()

    def untrained(self, seed: int = 0) -> Trained:
        """New policy and candidates; torch's own random numbers are seeded for an author who uses them.

        Raises:
            UsageError: the author gives no candidate.
        """
        with seeded(seed):
            policy, candidates = self.environment.policy(seed), self.environment.candidates(seed)
        if not candidates:
            raise UsageError(f"The environment '{self.name}' gives no candidate; a condition needs a V.")
        return Trained(policy, candidates, [])

    def statements(self, policy: nn.Module, candidates: Mapping[str, nn.Module]) -> dict[str, Statement]:
        """The environment's conditions on the closed loop, within its box; with the memory of the policy, if any."""
        whole = self.environment.whole
        loop = ClosedLoop(whole.system, policy)
        conditions = self.environment.conditions(candidates)
        return {name: Statement(condition, loop, whole.box) for name, condition in conditions.items()}

    def train(self, options: Options) -> Trained:
        """Fit the linear feedback, then policy and candidates to the conditions, as the recipe says.

        Raises:
            NonFinite: a loss, a gradient or a weight became NaN or infinite.
            Stopped: a signal came; the checkpoint is written.
            UsageError: the device does not exist, or an option is wrong.
        """
        device = device_named(local_device(options.device))
        _check(self.environment.recipe, options.engine)
        trained = self.untrained(options.seed)
        everything = nn.ModuleDict({"policy": trained.policy, "candidates": nn.ModuleDict(trained.candidates)})
        everything.to(device).train()
        with seeded(options.seed):
            rows = self._fit(everything, trained, options, device)
        everything.to("cpu").eval().requires_grad_(True)
        check_weights(everything)
        return Trained(trained.policy, trained.candidates, rows)

    def _fit(self, everything: nn.Module, trained: Trained, options: Options, device: torch.device) -> list[Row]:
        whole, recipe = self.environment.whole, self.environment.recipe
        states = StateSampler(whole.box, whole.equilibrium, options.seed, device)
        fresh = options.checkpoints is None or options.checkpoints.found is None
        feedback = self._start(trained.policy, states, fresh) if recipe.imitation_steps or recipe.gain else None
        statements = self.statements(trained.policy, trained.candidates)
        objective = RegionObjective(
            {name: statement.condition for name, statement in statements.items()},
            ClosedLoop(whole.system, trained.policy),
            states,
            weights=recipe.weights,
            batch=recipe.batch,
            trajectories=recipe.trajectory_options(options.integrator),
            level=recipe.level,
            margin=recipe.margin,
            band=recipe.band,
            gain_term=None if feedback is None else partial(feedback.deviations, trained.policy),
            shares=recipe.shares,
            seed=options.seed,
        )
        optimizer = optimizer_named(options.optimizer, everything, recipe.optimizers.get(options.optimizer, {}))
        return fit(
            objective,
            everything,
            optimizer,
            recipe.schedule,
            options.progress,
            engine=options.engine,
            checkpoints=options.checkpoints,
            metrics=options.metrics,
        )

    def _start(self, policy: nn.Module, states: StateSampler, fresh: bool) -> LinearFeedback:
        """The linear feedback, once the policy imitates it; a policy that goes on from a checkpoint once did."""
        whole, recipe, device = self.environment.whole, self.environment.recipe, states.device
        gain = self.environment.linear_feedback()[0]
        limits = whole.system.limits
        limit = gain.abs() @ whole.box.half_widths if limits is None else limits.half_widths
        numbers = (gain, whole.equilibrium, whole.control_equilibrium, limit)
        feedback = LinearFeedback(*(one.to(device) for one in numbers))
        if not fresh:
            return feedback
        batch = recipe.uniform + recipe.near + recipe.hard
        error = feedback.imitated(policy, states, steps=recipe.imitation_steps, batch=batch)
        _log.info("linear feedback imitated: mean square error %.2e of the limit squared", error)
        return feedback


def _check(recipe: Recipe, engine: Engine) -> None:
    """Refuse options of an optimizer that does not exist, which would never be used, and parts without any state."""
    for name in recipe.optimizers:
        plugins.provenance("optimizers", name)
    rows, size = max(recipe.uniform, recipe.near, recipe.hard), Processes().size
    if engine.accumulate > (most := max(1, rows // size)):
        raise UsageError(
            f"accumulate is {engine.accumulate}, but a batch of the recipe has at most {rows} states of a kind, for "
            f"{size} process(es) to divide; allowed here is 1 to {most}."
        )
