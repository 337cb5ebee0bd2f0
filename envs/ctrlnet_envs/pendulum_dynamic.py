"""The torque-limited inverted pendulum under a policy with an internal state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from ctrlnet import (
    Box,
    DynamicPolicy,
    Memory,
    NeuralCandidate,
    Quantity,
    Recipe,
    linearize,
    lyapunov_equation,
    mlp,
)
from ctrlnet_envs.pendulum_variant import PendulumVariant

_SPEED = 8.0  # [rad/s] that a z of 1 stands for in the linear design
_SCALE = (4.0, 4.0, 0.5)  # typical θ, ω, z
_COST = (1.0, 0.1, 0.1 * _SPEED**2)  # of θ, ω, z, along the loop that training starts from


@final
@dataclass(frozen=True)
class DynamicPendulum(PendulumVariant):
    """The plant, box and condition of `Pendulum` under a neural ODE for a policy:  z' = φ(θ, ω, z),  u = ψ(θ, ω, z).

    Training starts from the linear-quadratic feedback of the pendulum with the speed replaced by a model's,
    8 z' = (g/l) θ − (b/m l²) 8 z + u/(m l²), so that 8 z follows ω, and goes on from there.

    ## State
    Of the pendulum, and of the policy:

    | num | name | unit | box        | meaning              |
    |-----|------|------|------------|----------------------|
    | 2   | z    | 1    | −1.5 … 1.5 | the policy's own     |

    ## Control, Equilibrium, Condition, Simulation
    Those of the pendulum, z = 0 at rest. |z'| <= 32 1/s.

    ## Arguments
    torque_limit: largest |u| [N·m], positive.

    ## Versions
    v0: first.
    """

    name: ClassVar[str] = "pendulum_dynamic"

    @cached_property
    def memory(self) -> Memory:
        """z, one number."""
        return Memory((Quantity("z", "1"),), box=Box((-1.5,), (1.5,)), rates=Box((-32.0,), (32.0,)))

    def policy(self, seed: int = 0) -> nn.Module:
        """ψ of two hidden layers of 24 tanh units, φ of two of 16."""
        readout, motion = mlp((3, 24, 24, 1), seed=2 * seed), mlp((3, 16, 16, 1), seed=2 * seed + 1)
        return DynamicPolicy(readout, motion, self.whole.system, at=(0.0, 0.0), control_at=(0.0,), scale=_SCALE)

    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        """V = |R y|² + |φ(y) − φ(0)|² of y = (θ, ω, z), φ two layers of 24 tanh units, R from a Lyapunov equation."""
        P = self.linear_feedback()[1]
        touching = self.whole.box.upper.square() / torch.linalg.inv(P).diagonal()
        network = mlp((3, 24, 24), "tanh", seed=seed + 1)
        return {"V": NeuralCandidate(network, P / touching.min(), scale=_SCALE)}

    def linear_feedback(self) -> tuple[Tensor, Tensor]:
        """u = −k (θ, 8 z), k the pendulum's linear feedback, with z' such that 8 z moves as ω would: K and P."""
        rest, none = torch.zeros(2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        A, B = linearize(lambda x: self.system(x, none), rest), linearize(lambda u: self.system(rest, u), none)
        k = self.plant.linear_feedback()[0]
        model = (A - B @ k)[1:]  # ω' as a function of θ and ω
        estimated = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, _SPEED]], dtype=torch.float64)  # (θ, 8 z) of (θ, ω, z)
        K = torch.cat([k, -model / _SPEED]) @ estimated
        whole = self.whole
        loop = linearize(lambda y: whole.system(y, -K @ y), whole.equilibrium)
        return K, lyapunov_equation(loop, torch.diag(torch.tensor(_COST, dtype=torch.float64)))

    @property
    def recipe(self) -> Recipe:
        """Longer than the pendulum's, with more weight on a large region."""
        return replace(super().recipe, steps=3000, gain=0.002, growth=1.0)
