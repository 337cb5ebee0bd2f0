"""What the pendulum keeps under another kind of policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from ctrlnet import Box, Environment, ExponentialStability, Recipe, System, Twin
from ctrlnet_envs.pendulum import Pendulum


@dataclass(frozen=True)
class PendulumVariant(Environment):
    """The plant, box, condition, recipe and twin of `Pendulum`; a subclass gives the policy and V.

    Args:
        torque_limit: largest |u| [N·m], positive.
    """

    torque_limit: float = 6.0

    @cached_property
    def plant(self) -> Pendulum:
        """The pendulum."""
        return Pendulum(self.torque_limit)

    @property
    def system(self) -> System:
        """The pendulum's."""
        return self.plant.system

    @property
    def box(self) -> Box:
        """The pendulum's."""
        return self.plant.box

    def conditions(self, candidates: Mapping[str, nn.Module]) -> dict[str, ExponentialStability]:
        """The pendulum's, of the states that the policy is feedback of."""
        return self.plant.conditions(candidates)

    @property
    def recipe(self) -> Recipe:
        """The pendulum's."""
        return self.plant.recipe

    def twin(self) -> Twin:
        """The pendulum's."""
        return self.plant.twin()

    @property
    def null_controllable_area(self) -> float | None:
        """The pendulum's."""
        return self.plant.null_controllable_area
