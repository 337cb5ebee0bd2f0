"""Where the trajectories of a validation start."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.sets import Box, Sublevel
from ctrlnet.systems import Memory
from ctrlnet.types import Margin


def starts(V: Margin, level: float, box: Box, memory: Memory | None, count: int, seed: int) -> Tensor:
    """States drawn uniformly over {x in box : V(x) <= level}, (count, n).

    Of joint states (x, z) those with z = z*, where a policy starts its own state, uniform in x.

    Raises:
        UsageError: next to no state of the box has V <= level.
    """
    generator = torch.Generator().manual_seed(seed)
    if memory is None:
        return Sublevel(V, level, box).sample(count, generator)
    return memory.beside(Sublevel(memory.at_rest(V), level, memory.without(box)).sample(count, generator))
