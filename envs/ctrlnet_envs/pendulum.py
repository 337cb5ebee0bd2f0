"""The torque-limited inverted pendulum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import torch
from torch import Tensor, nn

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
from ctrlnet_envs.pendulum_twin import pendulum_twin

MASS, LENGTH, DAMPING, GRAVITY = exact("0.15"), exact("0.5"), exact("0.1"), exact("9.81")
INERTIA = MASS * LENGTH**2
_SCALE = (4.0, 4.0)  # typical states, as the networks see them; powers of two


@final
@dataclass(frozen=True)
class Pendulum(Environment):
    """A point mass on a massless rod, to be held upright by a limited torque at the pivot.

        θ' = ω,    ω' = (g/l) sin θ − b/(m l²) ω + u/(m l²),    m 0.15 kg, l 0.5 m, b 0.1 N·m·s/rad, g 9.81 m/s²

    The constants are exact decimals. The angle is not wrapped: a turn more is another state.

    ## State
    | num | name | unit  | box      | meaning                                |
    |-----|------|-------|----------|----------------------------------------|
    | 0   | θ    | rad   | −12 … 12 | angle from upright, positive towards +x |
    | 1   | ω    | rad/s | −12 … 12 | angular velocity                       |

    ## Control
    | num | name | unit | limits         | meaning            |
    |-----|------|------|----------------|--------------------|
    | 0   | u    | N·m  | ± torque_limit | torque at the pivot |

    A limit of 6.0 overpowers gravity eight times. The hard variant of the literature has 0.75, hardly more than
    m·g·l = 0.73575: near the horizontal, full torque lifts the pendulum at hardly more than 0.14 rad/s.

    ## Equilibrium
    θ = ω = 0 with u = 0, unstable without control.

    ## Condition
    Exponential stability with a neural V, rate 0.5 1/s; 0.02 1/s for limits of 1.0 and less.

    ## Simulation
    The MuJoCo twin: one hinge with the damping b, a point mass, a motor with the limit.

    ## Arguments
    torque_limit: largest |u| [N·m], positive.

    ## Source
    The plant of Yang et al., Lyapunov-stable neural control for state and output feedback, ICML 2024.

    ## Versions
    v0: first.
    """

    torque_limit: float = 6.0

    name: ClassVar[str] = "pendulum"

    def __post_init__(self) -> None:
        limit = self.torque_limit
        if not (isinstance(limit, (int, float)) and math.isfinite(limit) and limit > 0):
            raise UsageError(f"torque_limit is {limit!r}; give N·m above zero, such as 6.0 or 0.75.")

    @cached_property
    def system(self) -> System:
        """θ' = ω, ω' = (g/l) sin θ − b/(m l²) ω + u/(m l²)."""
        return System(
            _drift,
            _input,
            state=(Quantity("θ", "rad"), Quantity("ω", "rad/s")),
            control=(Quantity("u", "N·m"),),
            limits=Box((-self.torque_limit,), (self.torque_limit,)),
        )

    @property
    def box(self) -> Box:
        """|θ| <= 12 rad, |ω| <= 12 rad/s."""
        return Box((-12.0, -12.0), (12.0, 12.0))

    def policy(self, seed: int = 0) -> nn.Module:
        """Two hidden layers of 16 tanh units, saturated at the limit."""
        network = mlp((2, 16, 16, 1), "tanh", seed=seed)
        return Feedback(network, self.system.limits, at=(0.0, 0.0), control_at=(0.0,), scale=_SCALE)

    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        """V = |R x|² + |φ(x) − φ(0)|², φ one hidden layer of 16 tanh units, R from the Riccati equation."""
        P = self.linear_feedback()[1]
        touching = self.box.upper.square() / torch.linalg.inv(P).diagonal()  # levels at which xᵀPx reaches each face
        network = mlp((2, 16, 16), "tanh", seed=seed + 1)
        return {"V": NeuralCandidate(network, P / touching.min(), scale=_SCALE)}

    def conditions(self, candidates: Mapping[str, nn.Module]) -> dict[str, ExponentialStability]:
        """The upright position is exponentially stable."""
        rate = exact("0.5" if self.torque_limit > 1 else "0.02")
        return {"stability": ExponentialStability(candidates["V"], rate)}

    @property
    def recipe(self) -> Recipe:
        """A weak torque takes longer, and staying near the linear feedback costs it more of the region."""
        if self.torque_limit > 1:
            return Recipe(steps=1000, violation=5.0, gain=0.02, state_cost=(1.0, 0.1), control_cost=1.0)
        return Recipe(steps=1500, gain=0.005, state_cost=(1.0, 0.1), control_cost=1.0)

    def twin(self) -> Twin:
        """The same pendulum in MuJoCo."""
        return pendulum_twin(self.torque_limit, float(MASS), float(LENGTH), float(DAMPING), float(GRAVITY))

    @property
    def null_controllable_area(self) -> float | None:
        """Area of the states of the box that can reach the origin without leaving it; None when u cannot hold m·g·l.

        With a torque that beats gravity at any angle, every state can be brought to rest and then led home, unless it
        is so fast towards a side |θ| = 12 that full braking comes too late. The states lost are those beyond the two
        orbits of full braking that end at (±12, 0); dθ/dω = ω/ω' gives them.
        """
        if self.torque_limit <= MASS * GRAVITY * LENGTH:
            return None
        return _area_without_corners(self.torque_limit, 12.0)


def _drift(x: Tensor) -> Tensor:
    angle, velocity = x.unbind(-1)
    acceleration = (GRAVITY / LENGTH) * torch.sin(angle) - (DAMPING / INERTIA) * velocity
    return torch.stack([velocity, acceleration], -1)


def _input(x: Tensor) -> Tensor:
    nothing = torch.zeros_like(x[..., 0])
    return torch.stack([nothing, (1 / INERTIA) * torch.ones_like(nothing)], -1).unsqueeze(-1)


def _area_without_corners(torque: float, half: float, steps: int = 4000) -> float:
    """(2·half)² less twice ∫ (half − θ(ω)) dω, ω in [0, half], along full braking into (half, 0); midpoint rule."""
    step, angle, lost = half / steps, half, 0.0
    swing, drag, push = float(GRAVITY / LENGTH), float(DAMPING / INERTIA), torque / float(INERTIA)
    for i in range(steps):
        velocity = (i + 0.5) * step
        before = angle
        angle += step * velocity / (swing * math.sin(angle) - drag * velocity - push)
        lost += step * (half - 0.5 * (before + angle))
    return 4 * half**2 - 2 * lost
