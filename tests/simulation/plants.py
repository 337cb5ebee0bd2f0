"""A pendulum, policies and a V whose behaviour is known, for the tests of simulation and validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from ctrlnet_envs.pendulum_twin import pendulum_twin
from torch import Tensor

from ctrlnet import Box, Quantity, System, Twin

MASS, LENGTH, DAMPING, GRAVITY = 0.15, 0.5, 0.1, 9.81
INERTIA = MASS * LENGTH**2


@dataclass(frozen=True)
class Pendulum:
    """The inverted pendulum; `twin_mass` other than 0.15 gives it a twin that is another plant."""

    torque_limit: float = 6.0
    twin_mass: float = MASS
    has_twin: bool = True
    control_equilibrium: tuple[float, ...] = (0.0,)
    equilibrium: tuple[float, ...] = (0.0, 0.0)

    @cached_property
    def system(self) -> System:
        return System(
            drift,
            input_matrix,
            state=[Quantity("θ", "rad"), Quantity("ω", "rad/s")],
            control=[Quantity("u", "N·m")],
            limits=Box([-self.torque_limit], [self.torque_limit]),
        )

    @property
    def box(self) -> Box:
        return Box([-12.0, -12.0], [12.0, 12.0])

    def twin(self) -> Twin | None:
        twin = pendulum_twin(self.torque_limit, self.twin_mass, LENGTH, DAMPING, GRAVITY)
        return twin if self.has_twin else None


def drift(x: Tensor) -> Tensor:
    angle, speed = x[..., 0], x[..., 1]
    return torch.stack([speed, GRAVITY / LENGTH * torch.sin(angle) - DAMPING / INERTIA * speed], -1)


def input_matrix(x: Tensor) -> Tensor:
    gain = torch.full_like(x[..., :1], 1 / INERTIA)
    return torch.stack([torch.zeros_like(gain), gain], -2)


def saturated(stiffness: float, damping: float, limit: float = 6.0):
    """u = clamp(−stiffness θ − damping ω)."""

    def policy(x: Tensor) -> Tensor:
        return torch.clamp(-(stiffness * x[..., :1] + damping * x[..., 1:]), -limit, limit)

    return policy


def lyapunov(stiffness: float, damping: float):
    """V = x'P x with A'P + P A = −I for the pendulum linearised under u = −stiffness θ − damping ω, and its A."""
    a = torch.tensor(
        [[0.0, 1.0], [GRAVITY / LENGTH - stiffness / INERTIA, -(DAMPING + damping) / INERTIA]], dtype=torch.float64
    )
    eye = torch.eye(2, dtype=torch.float64)
    lyapunov_operator = torch.kron(a.T.contiguous(), eye) + torch.kron(eye, a.T.contiguous())
    P = torch.linalg.solve(lyapunov_operator, -eye.reshape(-1)).reshape(2, 2)
    return lambda x: ((x @ P) * x).sum(-1)
