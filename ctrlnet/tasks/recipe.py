"""How an environment is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, final

from ctrlnet.errors import UsageError
from ctrlnet.training import Batch, LossWeights, Schedule, Shape, Trajectories
from ctrlnet.training.numbers import require_numbers
from ctrlnet.training.schedule import require_schedule


@final
@dataclass(frozen=True)
class Recipe:
    """Numbers of a training; the defaults are those of the pendulum and a place to start from.

    The policy starts as the linear-quadratic feedback of the linearised plant. Then policy and candidates together
    minimise, over sampled states, the violation of the conditions on {V <= level}, plus terms that keep that set in the
    box and make it large.

    Attributes:
        steps: of the optimizer.
        repairs, repair_steps, probe: rounds of repair at most; steps of one; states it looks at for violations.
        rate: shape of the learning rate after its rise, "cosine", "linear" or "constant".
        warm_up, clip: share of steps in which the learning rate rises; largest norm of a gradient.
        patience, validation: the steps end early after so many rows without violation among so many fixed states;
            patience 0 never ends them early, so that the region grows for as long as it can.
        optimizers: options of each optimizer plug-in, by name; one that is not listed uses its own defaults.
        state_cost, control_cost: diagonals of Q and R of the linear-quadratic feedback; one number stands for all.
        imitation_steps: that fit the policy to it; 0 leaves the policy as the author made it.
        level: of V that training aims at.
        margin: share by which the trained rate exceeds the rate asked for; a proof needs this slack.
        band: share by which the trained level exceeds `level`.
        violation, containment, growth, gain, trajectories: weights of the terms; 0 leaves one out.
        shares: weights of the conditions among each other, by name; 1 for one that is not listed.
        uniform, near, hard, faces, pool, refresh: states sampled in a step.
        trajectory_count, horizon, instants: of the trajectories in the loss [-], [s], [-].

    Raises:
        UsageError: a number that cannot be meant.
    """

    steps: int = Schedule.steps
    repairs: int = Schedule.repairs
    repair_steps: int = Schedule.repair_steps
    probe: int = Schedule.probe
    rate: Shape = Schedule.rate
    patience: int = Schedule.patience
    validation: int = Schedule.validation
    warm_up: float = Schedule.warm_up
    clip: float = Schedule.clip
    optimizers: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "adamw": {"lr": 5e-3, "weight_decay": 0.1, "fused": True},
            "sgd": {"lr": 1e-2, "momentum": 0.9},
            "muon": {"lr": 5e-3, "weight_decay": 0.1},
        }
    )
    state_cost: float | tuple[float, ...] = 1.0
    control_cost: float | tuple[float, ...] = 1.0
    imitation_steps: int = 500
    level: float = 1.0
    margin: float = 0.5
    band: float = 0.1
    violation: float = LossWeights.violation
    containment: float = LossWeights.containment
    growth: float = LossWeights.growth
    gain: float = LossWeights.gain
    trajectories: float = LossWeights.trajectories
    shares: Mapping[str, float] = field(default_factory=dict)
    uniform: int = Batch.uniform
    near: int = Batch.near
    hard: int = Batch.hard
    faces: int = Batch.faces
    pool: int = Batch.pool
    refresh: int = Batch.refresh
    trajectory_count: int = Trajectories.count
    horizon: float = Trajectories.horizon
    instants: int = Trajectories.instants

    def __post_init__(self) -> None:
        require_schedule(self, "recipe")
        require_numbers(self, "recipe", 1, "uniform", "near", "faces", "pool", "refresh", "trajectory_count")
        require_numbers(self, "recipe", 0, "imitation_steps", "hard", "margin", "band")
        require_numbers(self, "recipe", 0, "violation", "containment", "growth", "gain", "trajectories")
        require_numbers(self, "recipe", math.ulp(0.0), "level", "horizon")
        require_numbers(self, "recipe", 2, "instants")
        for name in ("state_cost", "control_cost"):
            cost = getattr(self, name)
            if not all(isinstance(one, (float, int, Fraction)) and 0 <= one < math.inf for one in _entries(cost)):
                raise UsageError(f"{name} of the recipe is {cost!r}; give numbers at least 0, one or one a coordinate.")
        shares = self.shares.values() if isinstance(self.shares, Mapping) else [None]
        if not all(isinstance(one, (float, int, Fraction)) and 0 <= one < math.inf for one in shares):
            raise UsageError(
                f"shares of the recipe is {self.shares!r}; give numbers at least 0 by name of a condition."
            )
        if not isinstance(self.optimizers, Mapping):
            raise UsageError(f"optimizers of the recipe is {self.optimizers!r}; give options by name of the plug-in.")
        for name, options in self.optimizers.items():
            if not isinstance(options, Mapping):
                raise UsageError(
                    f"optimizers of the recipe gives {options!r} for '{name}'; give its options by name, such as "
                    f"{{'{name}': {{'lr': 0.01}}}}."
                )

    @property
    def schedule(self) -> Schedule:
        """Length and learning rate."""
        return Schedule(
            steps=self.steps,
            rate=self.rate,
            patience=self.patience,
            validation=self.validation,
            warm_up=self.warm_up,
            clip=self.clip,
            repairs=self.repairs,
            repair_steps=self.repair_steps,
            probe=self.probe,
        )

    @property
    def weights(self) -> LossWeights:
        """Weights of the terms of the loss."""
        return LossWeights(self.violation, self.containment, self.growth, self.gain, self.trajectories)

    @property
    def batch(self) -> Batch:
        """States of a step."""
        return Batch(self.uniform, self.near, self.hard, self.faces, self.pool, self.refresh)

    def trajectory_options(self, integrator: str) -> Trajectories:
        """Trajectories in the loss, integrated by that plug-in."""
        return Trajectories(self.trajectory_count, self.horizon, self.instants, integrator)

    def as_settings(self) -> dict[str, Any]:
        """Every number, as run.toml keeps it."""
        return asdict(self)


def _entries(cost: Any) -> tuple[Any, ...]:
    return tuple(cost) if isinstance(cost, (tuple, list)) else (cost,)
