"""The loss of a training on any conditions, over sampled states and along trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ctrlnet.conditions import Condition, Mean, asked, lack, mean_inside, trajectory_violation, violation
from ctrlnet.errors import UsageError
from ctrlnet.training.pool import HardStates
from ctrlnet.training.states import StateSampler


@final
@dataclass(frozen=True)
class Wanted:
    """A condition and what its violation weighs.

    Attributes:
        condition: any condition.
        weight: of its violation over sampled states; 0 leaves it out.
        along: of its violation along trajectories; 0 leaves it out.
        slack: how far inside a margin has to be before it counts as met; a proof needs some.
        relative: judge margins by the clauses' scales.
    """

    condition: Condition
    weight: float = 1.0
    along: float = 0.0
    slack: float = 0.0
    relative: bool = False


@final
class SampledObjective:
    """The weighted sum of violations,  Σ_c weight_c · violation_c(states) + along_c · violation_c(trajectories).

    Half of the states of a step are uniform over the box, half lie near those that violated most when they were last
    looked at. A training of several conditions, barriers among them, is `fit` on this objective.

    Args:
        wanted: conditions by name, with their weights; the terms of the loss have these names.
        system: what the conditions are about, such as the closed loop.
        states: where to look.
        batch: states of a step.
        starts: trajectories of a step.
        times: instants along them [s], (t,).
        method: integrator plug-in.
        refresh: steps between two looks for states that violate.
        seed: of the validation states.

    Raises:
        UsageError: no condition, or a weight that is negative.
    """

    def __init__(
        self,
        wanted: Mapping[str, Wanted],
        system: Any,
        states: StateSampler,
        *,
        batch: int = 512,
        starts: int = 32,
        times: Tensor | None = None,
        method: str = "rk4",
        refresh: int = 10,
        seed: int = 0,
    ) -> None:
        if not wanted or any(one.weight < 0 or one.along < 0 for one in wanted.values()):
            raise UsageError("Give at least one condition, each with weights of at least 0.")
        self._wanted, self._system, self._states = dict(wanted), system, states
        self._batch, self._refresh, self._method = batch, refresh, method
        self._starts = starts if any(one.along for one in wanted.values()) else 0
        self._times = torch.linspace(0, 1, 11, dtype=torch.float64) if times is None else times
        self._hard = HardStates(states, 4 * batch)
        self._validation = StateSampler(states.box, states.at, seed, states.device).uniform(4096)

    def draw(self, step: int) -> dict[str, Tensor]:
        """The states of one step."""
        if step % self._refresh == 1:
            self._hard.refresh(self._worst)
        half = self._batch // 2
        drawn = {"uniform": self._states.uniform(self._batch - half), "hard": self._hard.draw(half)}
        return {**drawn, "starts": self._states.uniform(self._starts)} if self._starts else drawn

    def terms(self, states: Mapping[str, Tensor], share: float, mean: Mean = mean_inside) -> dict[str, Tensor]:
        """The weighted violations, by the name of the condition."""
        x, terms = torch.cat([states["uniform"], states["hard"]]), dict[str, Tensor]()
        for name, one in self._wanted.items():
            how: dict[str, Any] = {"relative": one.relative, "slack": one.slack, "mean": mean}
            if one.weight:
                terms[name] = one.weight * violation(one.condition, self._system, x, **how)
            if one.along:
                along = trajectory_violation(
                    one.condition, self._system, states["starts"], self._times, method=self._method,
                    within=self._states.box, **how,
                )  # fmt: skip
                terms[f"{name} along trajectories"] = one.along * along
        return terms

    def watch(self) -> dict[str, float]:
        """The share of fixed states that violate a condition."""
        return {"violating": float((self._worst(self._validation) > 0).double().mean())}

    def seek(self, count: int) -> int:
        """Make the worst of many fresh states the hard ones; how many of them violate."""
        return int((self._worst(self._hard.seek(self._worst, count)) > 0).sum())

    def validate(self, count: int) -> int:
        """How many of the fixed states violate; there are 4096 of them, or `count` if that is less."""
        return int((self._worst(self._validation[:count]) > 0).sum())

    def state_dict(self) -> dict[str, Tensor]:
        """What later steps depend on."""
        return {"pool": self._hard.states, "generator": self._states.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on as the objective that gave `state`."""
        self._hard.states = state["pool"].clone()
        self._states.generator.set_state(state["generator"])

    def _worst(self, x: Tensor) -> Tensor:
        """Largest violation at each state, (k, n) to (k,); negative where every clause is met or not asked for."""
        with torch.no_grad():
            found = []
            for one in self._wanted.values():
                for clause in one.condition.clauses(self._system):
                    lacking, where = lack(clause, x, relative=one.relative, slack=0.2 * one.slack), asked(clause, x)
                    found.append(lacking if where is None else lacking.where(where, -torch.inf))
            return torch.stack(found).amax(0)
