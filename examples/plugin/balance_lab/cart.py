"""A cart on a rail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from ctrlnet import (
    Box,
    Environment,
    ExponentialStability,
    Feedback,
    NeuralCandidate,
    Quantity,
    Recipe,
    System,
    Twin,
    UsageError,
    exact,
    mlp,
)

MASS, FRICTION = exact("0.5"), exact("0.2")
EDGE = 2.0  # of the box, in every coordinate

MJCF = """\
<mujoco model="cart">
  <option timestep="0.01" integrator="RK4"><flag contact="disable"/></option>
  <worldbody>
    <light pos="0 -2 3" dir="0 0.5 -1"/>
    <geom name="rail" type="capsule" fromto="-3 0 0 3 0 0" size="0.03" rgba="0.3 0.35 0.43 1"/>
    <body name="cart">
      <joint name="rail" type="slide" axis="1 0 0" damping="{friction!r}"/>
      <geom name="cart" type="box" size="0.2 0.12 0.1" pos="0 0 0.1" mass="{mass!r}" rgba="0.93 0.42 0.2 1"/>
    </body>
  </worldbody>
  <actuator><motor name="force" joint="rail"/></actuator>
</mujoco>
"""


@dataclass(frozen=True)
class Cart(Environment):
    """A cart on a rail with viscous friction, to be brought to rest at the middle by a limited force.

        p' = v,    v' = −(c/m) v + u/m,    m 0.5 kg, c 0.2 N·s/m

    Arguments:
        force_limit: largest |u| [N], positive.
    """

    ctrlnet_contract: ClassVar[int] = 1
    name: ClassVar[str] = "cart"

    force_limit: float = 4.0

    def __post_init__(self):
        if not (math.isfinite(self.force_limit) and self.force_limit > 0):
            raise UsageError(f"force_limit is {self.force_limit}; give N above zero, such as 4.0.")

    @cached_property
    def system(self):
        return System(
            drift,
            input_matrix,
            state=(Quantity("p", "m"), Quantity("v", "m/s")),
            control=(Quantity("u", "N"),),
            limits=Box((-self.force_limit,), (self.force_limit,)),
        )

    @property
    def box(self):
        return Box((-EDGE, -EDGE), (EDGE, EDGE))

    def policy(self, seed=0):
        return Feedback(mlp((2, 8, 1), seed=seed), self.system.limits, at=(0.0, 0.0), control_at=(0.0,))

    def candidates(self, seed=0):
        P = self.linear_feedback()[1]
        largest = EDGE**2 / torch.linalg.inv(P).diagonal().max()  # the level at which xᵀPx reaches the edge
        return {"V": NeuralCandidate(mlp((2, 8, 8), seed=seed + 1), P / largest)}

    def conditions(self, candidates):
        return {"stability": ExponentialStability(candidates["V"], rate=0.2)}

    @property
    def recipe(self):
        return Recipe(steps=300)

    def twin(self):
        return Twin(MJCF.format(mass=float(MASS), friction=float(FRICTION)), joints=("rail",), actuators=("force",))


def drift(x):
    """f, maps (..., 2) to (..., 2)."""
    velocity = x[..., 1]
    return torch.stack([velocity, -(FRICTION / MASS) * velocity], -1)


def input_matrix(x):
    """g, maps (..., 2) to (..., 2, 1)."""
    nothing = torch.zeros_like(x[..., 0])
    return torch.stack([nothing, (1 / MASS) * torch.ones_like(nothing)], -1).unsqueeze(-1)
