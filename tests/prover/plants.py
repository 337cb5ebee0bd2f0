"""Small closed loops with known answers, for the prover's tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ctrlnet import exact

Function = Callable[[Tensor], Tensor]

# The pendulum of 0.15 kg, 0.5 m, 0.1 N m s; u = -k x saturated at 6 N m.
GAIN = torch.tensor([2.0, 0.4], dtype=torch.float64)
# P solves A'P + P A = -I for the linearised loop, rounded to binary fractions; V = |R x|^2 with R'R = P.
FACTOR = torch.tensor([[2.125, 0.125], [0.0, 0.25]], dtype=torch.float64)
GRAVITY, LENGTH, MASS, DAMPING = exact("9.81"), exact("0.5"), exact("0.15"), exact("0.1")


def pendulum(x: Tensor, gain: float = 1.0, limit: float = 6.0, offset: float = 0.0) -> Tensor:
    """θ' = ω, ω' = (g/l) sin θ - b/(m l²) ω + u/(m l²) + offset."""
    angle, speed = x[..., 0], x[..., 1]
    torque = torch.clamp(-gain * (x * GAIN).sum(-1), -limit, limit)
    inertia = MASS * LENGTH**2
    return torch.stack(
        [speed, GRAVITY / LENGTH * torch.sin(angle) - DAMPING / inertia * speed + torque / inertia + offset], -1
    )


def quadratic(x: Tensor, factor: Tensor = FACTOR) -> Tensor:
    return (x @ factor.T).square().sum(-1)


def policy_network(seed: int, activation: type[torch.nn.Module] = torch.nn.Tanh) -> torch.nn.Module:
    """A 2-16-16-1 network that imitates the saturated gain: a small policy with biases, trained in a second."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(2, 16), activation(), torch.nn.Linear(16, 16), activation(), torch.nn.Linear(16, 1)
    ).double()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(600):
        x = (torch.rand(256, 2, dtype=torch.float64) * 2 - 1) * torch.tensor([2.0, 8.0], dtype=torch.float64)
        x = x * torch.rand(256, 1, dtype=torch.float64)
        error = (
            network(x)[:, 0] - network(torch.zeros(2, dtype=torch.float64)) - torch.clamp(-(x * GAIN).sum(-1), -6, 6)
        )
        optimizer.zero_grad()
        (error.square().mean() + (error / (x.norm(dim=-1) + 0.05)).square().mean() * 0.1).backward()
        optimizer.step()
    return network.requires_grad_(False)


def neural_loop(network: torch.nn.Module) -> Function:
    """The pendulum under clamp(net(x) - net(0), ±6)."""
    return partial(_neural_field, network)


def _neural_field(network: torch.nn.Module, x: Tensor) -> Tensor:
    angle, speed = x[..., 0], x[..., 1]
    torque = torch.clamp(network(x) - network(torch.zeros(2, dtype=torch.float64)), -6.0, 6.0)[..., 0]
    inertia = MASS * LENGTH**2
    return torch.stack([speed, GRAVITY / LENGTH * torch.sin(angle) - DAMPING / inertia * speed + torque / inertia], -1)
