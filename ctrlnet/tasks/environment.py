"""What the author of an environment gives: mathematics only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from ctrlnet.conditions import ExponentialStability
from ctrlnet.mechanisms import Twin
from ctrlnet.sets import Box, vector
from ctrlnet.synthesis import linearize, lqr
from ctrlnet.systems import Memory, System
from ctrlnet.tasks.recipe import Recipe
from ctrlnet.tasks.whole import Whole, whole_of


class Environment(ABC):
    """A plant, what is wanted of it, and how it is trained.

    Subclass it as a frozen dataclass whose fields are the parameters, each with a default, of types that a command
    line can give (numbers, strings, booleans). Everything derived is a property or method; `system` is best a
    `functools.cached_property`. Training, proof, simulation and report are made from these.

    Attributes:
        ctrlnet_contract: version of the contract that the class was written for, 1.
        name: of the plug-in, lower snake case.
    """

    ctrlnet_contract: ClassVar[int] = 1
    name: ClassVar[str]

    @property
    @abstractmethod
    def system(self) -> System:
        """The plant x' = f(x) + g(x) u, with names, units and control limits."""

    @property
    @abstractmethod
    def box(self) -> Box:
        """The states considered, a box with the equilibrium inside; training and proof stay within."""

    @property
    def equilibrium(self) -> tuple[float, ...]:
        """x*, n numbers; the origin unless said otherwise."""
        return (0.0,) * self.system.n

    @property
    def control_equilibrium(self) -> tuple[float, ...]:
        """u*, m numbers with f(x*) + g(x*) u* = 0 as an identity; zero unless said otherwise."""
        return (0.0,) * self.system.m

    @property
    def memory(self) -> Memory | None:
        """The internal state of the policy; None for a policy without, which is a function of the state alone."""
        return None

    @cached_property
    def whole(self) -> Whole:
        """What is trained, proved and simulated: the plant, joined with the memory of its policy where it has one."""
        return whole_of(self.system, self.box, self.equilibrium, self.control_equilibrium, self.memory)

    @abstractmethod
    def policy(self, seed: int = 0) -> nn.Module:
        """A new policy, (..., n) to (..., m), its weights determined by the seed; n, m are those of `whole`."""

    @abstractmethod
    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        """New candidates, each (..., n) to (...), by name; n is that of `whole`."""

    @abstractmethod
    def conditions(self, candidates: Mapping[str, nn.Module]) -> dict[str, ExponentialStability]:
        """What is wanted of the closed loop, by name; a certificate for each."""

    @property
    def recipe(self) -> Recipe:
        """How policy and candidates are trained."""
        return Recipe()

    def twin(self) -> Twin | None:
        """The plant as a MuJoCo model, or None; without one it is simulated by its own equations."""
        return None

    @property
    def null_controllable_area(self) -> float | None:
        """Volume of the states of the box that some admissible control brings to x* without leaving it, where known."""
        return None

    def linear_feedback(self) -> tuple[Tensor, Tensor]:
        """K (m, n) and P (n, n) of the linear-quadratic feedback at the equilibrium, with the costs of the recipe.

        That of `whole` leaves a memory alone with itself, z' = -k z, and the plant to its state; where the policy does
        not see all of it, give another linear design, for training to start from.

        Raises:
            UsageError: the linearised plant is not stabilisable, or the costs do not fit.
        """
        whole, recipe = self.whole, self.recipe
        plant, x, u = whole.system, whole.equilibrium, whole.control_equilibrium
        A, B = linearize(lambda x: plant(x, u), x), linearize(lambda u: plant(x, u), u)
        Q, R = (
            _diagonal(recipe.state_cost, "state_cost", plant.n),
            _diagonal(recipe.control_cost, "control_cost", plant.m),
        )
        return lqr(A, B, Q, R)


def _diagonal(cost: float | tuple[float, ...], name: str, size: int) -> Tensor:
    entries = cost if isinstance(cost, tuple) else (cost,) * size
    return torch.diag(vector(entries, name, size))
