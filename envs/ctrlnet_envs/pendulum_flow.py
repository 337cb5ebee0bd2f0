"""The torque-limited inverted pendulum under a policy that is the flow of a neural ODE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from ctrlnet import FlowPolicy, mlp
from ctrlnet_envs.pendulum_variant import PendulumVariant

_SCALE, _WIDTH = (4.0, 4.0), 16


@final
@dataclass(frozen=True)
class FlowPendulum(PendulumVariant):
    """The plant, box and condition of `Pendulum`; its control is read off after `steps` steps of  s' = tanh(K s + b).

        s_0 = E x + e,    u = R s_K + r, less the same at the equilibrium, saturated at the limit;    s of 16 numbers

    ## State, Control, Equilibrium, Condition, Simulation
    Those of the pendulum.

    ## Arguments
    torque_limit: largest |u| [N·m], positive.
    method: integrator plug-in of the flow.
    steps: K, of the flow over a duration of 1.

    ## Versions
    v0: first.
    """

    method: str = "rk4"
    steps: int = 2

    name: ClassVar[str] = "pendulum_flow"

    def __post_init__(self) -> None:
        self.policy()  # says now what is wrong with the method or the number of steps

    def policy(self, seed: int = 0) -> nn.Module:
        """A linear map into 16 numbers, their flow, a linear map to the torque."""
        embed, readout = mlp((2, _WIDTH), seed=3 * seed), mlp((_WIDTH, 1), seed=3 * seed + 2)
        field = nn.Sequential(mlp((_WIDTH, _WIDTH), seed=3 * seed + 1), nn.Tanh())
        return FlowPolicy(
            embed, field, readout, self.system.limits,
            at=(0.0, 0.0), control_at=(0.0,), scale=_SCALE, steps=self.steps, method=self.method,
        )  # fmt: skip

    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        """The pendulum's."""
        return self.plant.candidates(seed)
