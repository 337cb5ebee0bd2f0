"""A property of a network at every input of a box, by a margin of one's own; then again for a network nearby.

python examples/proving/network.py
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ctrlnet import Box, mlp, prove

box = Box([-1, -1], [1, 1])
network = mlp([2, 16, 16, 1], seed=0)
x = box.sample(10_000)
bound = 1.02 * torch.func.vmap(torch.func.grad(lambda z: network(z)[0]))(x).norm(dim=-1).max().item()


def flat(network: torch.nn.Module, x: Tensor) -> Tensor:
    """Positive where the gradient of the output is shorter than 1.02 times the longest one sampled."""
    directions = torch.eye(2, dtype=x.dtype)
    parts = [torch.func.jvp(network, (x,), (one.expand_as(x),))[1].squeeze(-1) for one in directions]
    return bound**2 - (parts[0] ** 2 + parts[1] ** 2)


verdict = prove(lambda x: flat(network, x), box)
print(verdict)

nearby, generator = copy.deepcopy(network), torch.Generator().manual_seed(1)
with torch.no_grad():
    for weight in nearby.parameters():
        weight += 1e-4 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
again = prove(lambda x: flat(nearby, x), box, start=verdict)
print(f"{verdict.boxes:,} boxes at first; {again.boxes:,} for the network nearby: {again.status}.")
