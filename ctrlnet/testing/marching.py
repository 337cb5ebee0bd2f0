"""How the kit of integrators takes steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from ctrlnet.integrators import Integrator
from ctrlnet.systems.fields import Time
from ctrlnet.testing.known_solutions import known


def march(
    method: Integrator,
    x: Tensor,
    h: Time,
    steps: int,
    *,
    t: Time = 0.0,
    given: Any = None,
    turns: Sequence[float] = (1.0,),
) -> Tensor:
    """The states after steps from x at t, on the known equation unless another is given; their sizes h turns_i."""
    field = known(method.needs).given if given is None else given
    carry = method.init(field, t, x)
    for _, turn in zip(range(steps), cycle(turns), strict=False):
        x, _, carry = method.step(field, t, x, turn * h, carry)
        t = t + turn * h
    return x


def states(method: Integrator, count: int) -> Tensor:
    """Random states near the start of the known solution, (count, n), float64."""
    start = known(method.needs).exact(0.0)
    generator = torch.Generator().manual_seed(0)
    return start + 0.2 * torch.rand(count, len(start), dtype=torch.float64, generator=generator) - 0.1
