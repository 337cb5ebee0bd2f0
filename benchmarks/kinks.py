"""A ReLU policy with a clamp and a candidate with kinks through the equilibrium, in discrete time.

The pendulum of mass 0.15, length 0.5, damping 0.1 and torque 6, stepped by 0.05 s; policy ReLU 2-8-8-8-1 that imitates
a state feedback; V = |φ(x) - φ(0)|/50 + |R x|₁ with φ a LeakyReLU network 2-16-16-8-1 and R the left eigenvectors of
the policy's own linearisation.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from timing import timed_certify
from torch import Tensor, nn

from ctrlnet import Box, DiscreteDecrease, DiscreteMap, exact

Function = Callable[[Tensor], Tensor]

GAIN = torch.tensor([[1.1, 0.3]], dtype=torch.float64)
GRAVITY, LENGTH, MASS, DAMPING, STEP = (exact(text) for text in ("9.81", "0.5", "0.15", "0.1", "0.05"))
BOX = Box([-2.0, -6.0], [2.0, 6.0])
ORIGIN = torch.zeros(2, dtype=torch.float64)


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    policy = _policy()
    condition, system = DiscreteDecrease(_candidate(policy), exact("0.001")), DiscreteMap(_step(policy))
    timed_certify(condition, system, BOX)  # warms up
    proof = timed_certify(condition, system, BOX)
    assert proof.verdict.status == "certified", proof.verdict.reason
    prover = proof.whole - proof.check
    return {
        "prover, seconds": prover,
        "checker / prover time": proof.check / prover,
        "level / sampled level": proof.verdict.level / proof.verdict.sampled_level,
    }


def _policy() -> nn.Module:
    torch.manual_seed(0)
    widths = (2, 8, 8, 8)
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(8, 1)).double()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(1500):
        x = (torch.rand(512, 2, dtype=torch.float64) * 2 - 1) * BOX.upper * torch.rand(512, 1, dtype=torch.float64)
        error = network(x) - network(ORIGIN) - torch.clamp(-x @ GAIN.T, -6.0, 6.0)
        optimizer.zero_grad()
        (error.square().mean() + (error / (x.norm(dim=-1, keepdim=True) + 0.05)).square().mean()).backward()
        optimizer.step()
    return network.requires_grad_(False)


def _step(policy: nn.Module) -> Function:
    def step(x: Tensor) -> Tensor:
        angle, speed = x[..., 0], x[..., 1]
        torque = torch.clamp(policy(x) - policy(ORIGIN), -6.0, 6.0)[..., 0]
        inertia = MASS * LENGTH**2
        pull = GRAVITY / LENGTH * torch.sin(angle) - DAMPING / inertia * speed + torque / inertia
        return torch.stack([angle + STEP * speed, speed + STEP * pull], -1)

    return step


def _candidate(policy: nn.Module) -> Function:
    A = torch.func.jacrev(_step(policy))(ORIGIN)
    R = torch.linalg.eig(A.T)[1].T.real.contiguous()
    torch.manual_seed(1)
    bend = nn.LeakyReLU(0.25)
    layers = nn.Linear(2, 16), bend, nn.Linear(16, 16), bend, nn.Linear(16, 8), bend, nn.Linear(8, 1)
    network = nn.Sequential(*layers).double().requires_grad_(False)

    def V(x: Tensor) -> Tensor:
        return 0.02 * torch.abs(network(x) - network(ORIGIN))[..., 0] + (x @ R.T).abs().sum(-1)

    return V
