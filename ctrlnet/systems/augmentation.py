"""A plant joined with the internal state of its policy."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import product
from ctrlnet.systems.affine import System
from ctrlnet.systems.memory import Memory
from ctrlnet.systems.quantity import Quantity


def augmented(plant: System, memory: Memory) -> System:
    """The plant and the memory of its policy as one plant:  (x, z)' = (f(x) + g(x) u, w)  under the control (u, w).

    A policy with internal state is state feedback of this plant, (..., n + k) to (..., m + k): it gives u = ψ(x, z)
    and w = φ(x, z). Its limits are those of u and the rates of z.

    Raises:
        UsageError: the plant has a memory already.
    """
    if plant.memory is not None:
        raise UsageError("This plant is joined with a memory already; give the plant alone, and one memory.")
    n, k = plant.n, memory.size

    def f(y: Tensor, *d: Tensor) -> Tensor:
        return torch.cat([plant.f(y[..., :n], *d), torch.zeros_like(y[..., n:])], -1)

    def g(y: Tensor, *d: Tensor) -> Tensor:
        x = y[..., :n]
        above = torch.cat([plant.g(x, *d), y.new_zeros(*y.shape[:-1], n, k)], -1)
        still = torch.cat([y.new_zeros(k, plant.m), torch.eye(k, dtype=y.dtype, device=y.device)], -1)
        return torch.cat([above, still.expand(*y.shape[:-1], k, plant.m + k)], -2)

    return System(
        f,
        g,
        state=(*plant.state, *memory.state),
        control=(*plant.control, *(Quantity(f"{name}'", f"{unit}/s") for name, unit in memory.state)),
        limits=None if plant.limits is None else product(plant.limits, memory.rates),
        disturbance=plant.disturbance,
        memory=memory,
    )
