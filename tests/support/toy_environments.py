"""Small environments that a stranger might write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from ctrlnet import Box, Environment, ExponentialStability, Feedback, NeuralCandidate, Quantity, Recipe, System, mlp

QUICK = Recipe(
    steps=12, imitation_steps=8, repairs=1, repair_steps=3, probe=256, uniform=32, near=8, hard=8, faces=8, pool=64
)


@dataclass(frozen=True)
class Cart(Environment):
    """p' = v, v' = −friction·v + u, pushed by a limited force."""

    friction: float = 0.1
    recipe_: ClassVar[Recipe] = QUICK

    name: ClassVar[str] = "toy_cart"

    @cached_property
    def system(self) -> System:
        return System(
            self.drift,
            lambda x: torch.stack([torch.zeros_like(x[..., 0]), torch.ones_like(x[..., 0])], -1).unsqueeze(-1),
            state=(Quantity("p", "m"), Quantity("v", "m/s")),
            control=(Quantity("u", "N"),),
            limits=Box((-1.0,), (1.0,)),
        )

    def drift(self, x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], -self.friction * x[..., 1]], -1)

    @property
    def box(self) -> Box:
        return Box((-2.0, -2.0), (2.0, 2.0))

    def policy(self, seed: int = 0) -> nn.Module:
        return Feedback(mlp((2, 4, 1), seed=seed), self.system.limits, at=(0.0, 0.0), control_at=(0.0,))

    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        return {"V": NeuralCandidate(mlp((2, 4, 4), seed=seed + 1), self.linear_feedback()[1])}

    def conditions(self, candidates: Mapping[str, nn.Module]) -> dict[str, ExponentialStability]:
        return {"stability": ExponentialStability(candidates["V"], rate=0.1)}

    @property
    def recipe(self) -> Recipe:
        return self.recipe_


@dataclass(frozen=True)
class Patient(Cart):
    """Trained for as long as the tests need that interrupt it."""

    steps: int = 60

    name: ClassVar[str] = "toy_patient"

    @property
    def recipe(self) -> Recipe:
        # more margin than there can be, so that violations remain and both rounds of repair are needed
        return replace(QUICK, steps=self.steps, repairs=2, repair_steps=self.steps // 4, margin=50.0)


@dataclass(frozen=True)
class Forgetful(Cart):
    """Its author uses torch's own random numbers."""

    def policy(self, seed: int = 0) -> nn.Module:
        return Feedback(nn.Linear(2, 1).double(), self.system.limits, at=(0.0, 0.0), control_at=(0.0,))


@dataclass(frozen=True)
class Singular(Cart):
    """Its dynamics are NaN far out, where construction does not look."""

    def drift(self, x: Tensor) -> Tensor:
        far = torch.where(x[..., 0].abs() > 1.5, float("nan"), 0.0)
        return torch.stack([x[..., 1], -self.friction * x[..., 1] + far], -1)
