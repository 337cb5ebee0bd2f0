"""A program for each of several processes that share the layers of a network; the last line is JSON.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... python layer_pieces.py

Each compares its states and gradients with those of the layers one after the other, and with those of one process.
"""

from __future__ import annotations

import json
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from ctrlnet.layers import Antisymmetric, Pieces, TimeVarying, layer_parallel

torch.set_num_threads(1)
LAYERS, H = 32, 0.1
CUTS = {2: (0, 20, 32), 4: (0, 12, 16, 28, 32)}  # where the pieces begin and end
PLANS = {
    "FCF": {},
    "F": {"relaxation": "F"},
    "three levels": {"levels": 3, "coarsening": 2},
    "one iteration": {"iterations": 1},
    "F, one iteration": {"iterations": 1, "relaxation": "F"},
    "three levels, one iteration": {"levels": 3, "coarsening": 2, "iterations": 1},
    "serial": {"levels": 1},
}


def loss(u: Tensor, first: int) -> Tensor:
    """Of every state but the piece's first, which is the last of the piece before; of that one, where it is x0."""
    own = u if first == 0 else u[1:]
    places = torch.arange(first + (first > 0), first + len(u), dtype=u.dtype)
    return (own.square() * (1 + places / 7)[:, None, None]).sum() + u[0].sum() / 3 + u[-1].sum() / 5


def differences(plan: dict[str, object]) -> dict[str, float]:
    """The largest differences of states and of gradients, relative, between the pieces and the whole."""
    torch.manual_seed(0)
    varying = TimeVarying([Antisymmetric(3, damping=0.1, seed=seed) for seed in range(LAYERS)], LAYERS * H)
    x0, step = torch.randn(4, 3, dtype=torch.float64, requires_grad=True), varying.slices(lambda f, x, h: x + h * f(x))
    rank, ends = dist.get_rank(), list(pairwise(CUTS[dist.get_world_size()]))
    (first, last), parameters = ends[rank], list(varying.parameters())

    whole = layer_parallel(step, varying.weights, x0, h=H, **plan)  # type: ignore[arg-type]
    pieces = [loss(whole[begin : end + 1], begin) for begin, end in ends]
    expected = torch.autograd.grad(torch.stack(pieces).sum(), [x0, *parameters])

    weights = {name: one[first:last] for name, one in varying.weights.items()}
    dummy = x0 if rank == 0 else torch.full_like(x0, 7.0).requires_grad_()
    mine = layer_parallel(step, weights, dummy, h=H, neighbours=Pieces(), **plan)  # type: ignore[arg-type]
    found = torch.autograd.grad(loss(mine, first), [dummy, *parameters])

    wanted = [expected[0] * (rank == 0)]
    for one in expected[1:]:
        part = torch.zeros_like(one)
        part[first:last] = one[first:last]
        wanted.append(part)
    largest = [float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)]
    return {"states": float((mine - whole[first : last + 1]).abs().max()), "gradients": max(largest)}


if __name__ == "__main__":
    dist.init_process_group("gloo")
    try:
        print(json.dumps({name: differences(plan) for name, plan in PLANS.items()}))
    finally:
        dist.destroy_process_group()
