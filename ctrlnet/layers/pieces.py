"""A chain of layers in pieces, one a process of torch's process group."""

from __future__ import annotations

from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from ctrlnet.errors import UsageError


@final
class Pieces:
    """For `layer_parallel(..., neighbours=Pieces())`: each process holds some layers, and the next those after them.

    The pieces may differ in size; the options of `layer_parallel` are the same in all. Every process calls it with its
    weights and x0, which counts in the first and gives shape and dtype in the others, and then `backward` of a scalar
    of its own states, zero times them where it has no loss. The gradients are those of the sum of the scalars.

    Args:
        group: of processes; None is torch's default group.
        direction: 1 where the pieces follow each other as the processes' numbers do, -1 where they run backwards.

    Raises:
        UsageError: no process group.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, direction: int = 1) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise UsageError(
                "There is no process group: call torch.distributed.init_process_group in every process, or leave out "
                "neighbours."
            )
        self.group, self.direction = group, direction
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        before, after = rank - direction, rank + direction
        self.first = not 0 <= before < size
        self._before = None if self.first else self._global(before)
        self._after = self._global(after) if 0 <= after < size else None

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    def total(self, count: int, like: Tensor) -> int:
        """The sum of the pieces' counts."""
        found = torch.tensor([count], device=like.device)
        dist.all_reduce(found, group=self.group)
        return int(found)

    def reversed(self) -> Pieces:
        """The same pieces, passed through backwards."""
        return Pieces(self.group, -self.direction)

    def shifted(self, last: Tensor, first: Tensor) -> Tensor:
        """Hand `last` on; what the piece before hands on, or `first` where there is none."""
        request = None if self._after is None else dist.isend(last.contiguous(), self._after, self.group)
        result = self.receive(first)
        if request is not None:
            request.wait()
        return result

    def receive(self, first: Tensor) -> Tensor:
        """What the piece before sends, or `first` where there is none."""
        if self._before is None:
            return first
        result = torch.empty_like(first, memory_format=torch.contiguous_format)
        dist.recv(result, self._before, self.group)
        return result

    def send(self, last: Tensor) -> None:
        """Send to the piece after, where there is one."""
        if self._after is not None:
            dist.send(last.contiguous(), self._after, self.group)
