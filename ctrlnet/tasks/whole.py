"""A plant with all that is simulated beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import SupportsFloat, final

import torch
from torch import Tensor

from ctrlnet.sets import Box, product, vector
from ctrlnet.systems import Memory, System, augmented


@final
@dataclass(frozen=True, eq=False)
class Whole:
    """What a policy is state feedback of.

    Attributes:
        system: the plant; `augmented` with the memory of the policy where it has one.
        box: of the states of the system.
        equilibrium: x*, (n,).
        control_equilibrium: u*, the control there, (m,).
    """

    system: System
    box: Box
    equilibrium: Tensor
    control_equilibrium: Tensor


def whole_of(
    plant: System,
    box: Box,
    equilibrium: tuple[SupportsFloat, ...],
    control_equilibrium: tuple[SupportsFloat, ...],
    memory: Memory | None,
) -> Whole:
    """The plant joined with a memory, or as it is.

    Raises:
        ShapeError: the equilibrium or its control do not fit the plant.
    """
    x, u = vector(equilibrium, "equilibrium", plant.n), vector(control_equilibrium, "control", plant.m)
    if memory is None:
        return Whole(plant, box, x, u)
    still = torch.zeros_like(memory.at)
    return Whole(augmented(plant, memory), product(box, memory.box), torch.cat([x, memory.at]), torch.cat([u, still]))
