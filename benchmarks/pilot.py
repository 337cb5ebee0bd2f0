"""Certification of ten imitation policies: how much of the sampled level is proved, with how many boxes.

A pendulum of 0.15 kg and 0.5 m under clamp(net(x) - net(0), +-6 N m), net 2-16-16-1 with tanh trained to imitate a
saturated LQR; quadratic V from the Lyapunov equation of the linearised loop; rate 0.1 1/s.
"""

from __future__ import annotations

import statistics

import torch
from timing import timed_certify
from torch import Tensor

from ctrlnet import Box, ExponentialStability, Quadratic, exact, linearize, lqr, mlp
from ctrlnet.synthesis import lyapunov_equation

BOX = Box([-4.0, -14.0], [4.0, 14.0])
STIFFNESS, DAMPING, INPUT = exact("19.62"), exact("0.1") / exact("0.0375"), 1 / exact("0.0375")
ORIGIN = torch.zeros(2, dtype=torch.float64)


def measure() -> dict[str, float]:
    proofs = []
    for seed in range(10):
        policy = imitation(seed)

        def field(x: Tensor, policy: torch.nn.Module = policy) -> Tensor:
            torque = torch.clamp(policy(x) - policy(ORIGIN), -6.0, 6.0)[..., 0]
            return pendulum(x, torque)

        V = Quadratic(lyapunov_equation(linearize(field, ORIGIN), torch.eye(2, dtype=torch.float64)))
        proofs.append(timed_certify(ExponentialStability(V, exact("0.1")), field, BOX))
        assert proofs[-1].verdict.status == "certified", proofs[-1].verdict.reason
    verdicts = [proof.verdict for proof in proofs]
    return {
        "level / sampled level, least of 10": min(v.level / v.sampled_level for v in verdicts),
        "boxes, median of 10": statistics.median(v.boxes for v in verdicts),
        "search, seconds, median of 10": statistics.median(proof.search for proof in proofs),
        "checker / prover time, median": statistics.median(proof.check / proof.search for proof in proofs),
    }


def pendulum(x: Tensor, torque: Tensor) -> Tensor:
    angle, speed = x[..., 0], x[..., 1]
    return torch.stack([speed, STIFFNESS * torch.sin(angle) - DAMPING * speed + INPUT * torque], -1)


def imitation(seed: int) -> torch.nn.Module:
    network = mlp([2, 16, 16, 1], seed=seed)
    generator = torch.Generator().manual_seed(seed)
    A = torch.tensor([[0.0, 1.0], [float(STIFFNESS), -float(DAMPING)]], dtype=torch.float64)
    B = torch.tensor([[0.0], [float(INPUT)]], dtype=torch.float64)
    gain, _ = lqr(A, B, torch.eye(2, dtype=torch.float64), torch.eye(1, dtype=torch.float64))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(1500):
        x = (2 * torch.rand(512, 2, generator=generator, dtype=torch.float64) - 1) * torch.tensor([3.0, 6.0])
        x = x * torch.rand(512, 1, generator=generator, dtype=torch.float64)
        error = network(x) - network(ORIGIN) - torch.clamp(-x @ gain.T, -6.0, 6.0)
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    return network.requires_grad_(False)
