"""Several processes that train one policy: each takes its share of every batch.

Every process draws the same batch, from generators in the same state, and takes its rows of it. The means of the loss
divide by the joined counts, so that the sum of the processes' losses is the loss of the joined batch, and so is the
sum of their gradients. All processes then take the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from ctrlnet.errors import UsageError

States = Mapping[str, Tensor]


@final
class Processes:
    """The processes of this training: one, or those of torch's process group.

    Attributes:
        rank: number of this process, 0, 1, ...; only number 0 writes.
        size: how many there are.
    """

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.size = dist.get_world_size() if joined else 1

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, bit for bit the same in each."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def like_first(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the values of number 0."""
        for tensor in tensors if self.size > 1 else ():
            dist.broadcast(tensor, 0)

    def bytes_of_first(self, data: bytes, device: torch.device) -> bytes:
        """The bytes that number 0 gives, in every process."""
        if self.size == 1:
            return data
        length = torch.tensor([len(data)], device=device)
        dist.broadcast(length, 0)
        content = torch.frombuffer(bytearray(data), dtype=torch.uint8) if self.rank == 0 and data else torch.empty(0)
        held = content.to(device) if self.rank == 0 and data else torch.empty(int(length), dtype=torch.uint8).to(device)
        dist.broadcast(held, 0)
        content_of_first: bytes = held.cpu().numpy().tobytes()
        return content_of_first

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def parts(self, states: States, count: int) -> list[dict[str, Tensor]]:
        """This process's rows of a batch, in `count` parts; one after the other, all parts are the batch."""
        pieces = self.size * count
        cut = {name: x.tensor_split(pieces) for name, x in states.items()}
        mine = range(self.rank * count, (self.rank + 1) * count)
        return [{name: rows[number] for name, rows in cut.items()} for number in mine]


def summed_gradients(processes: Processes, parameters: Sequence[Tensor], beside: Tensor) -> Tensor:
    """Replace each gradient by its sum over the processes, in one message with the vector `beside`; its sum."""
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.reshape(-1).to(beside.dtype) for one in (*gradients, beside)])
    summed = processes.sum(flat).split([one.numel() for one in (*gradients, beside)])
    for gradient, total in zip(gradients, summed, strict=False):
        gradient.copy_(total.reshape(gradient.shape))
    total_beside: Tensor = summed[-1]
    return total_beside


class Joined:
    """Means over a batch that is divided: each call gives this part's share,  Σ numbers / joined count.

    The joined counts are those of `counted`, in the order of the calls, where the parts of one process follow each
    other; otherwise every call asks the other processes.

    Args:
        processes: that share the batch.
        counts: of the joined batch, one a call; None asks.
    """

    def __init__(self, processes: Processes, counts: Sequence[Tensor] | None = None) -> None:
        self._processes = processes
        self._counts = None if counts is None else iter(counts)

    def __call__(self, numbers: Tensor, inside: Tensor | None = None) -> Tensor:
        """Σ inside·numbers / joined Σ inside, a scalar; `inside` None counts all."""
        total = self._processes.sum(_count(numbers, inside)) if self._counts is None else next(self._counts)
        mean: Tensor = (numbers if inside is None else numbers * inside).sum() / total.clamp(min=1)
        return mean


class Counted:
    """Stands for a mean and only counts, so that the parts of a batch can be summed before they are averaged."""

    def __init__(self) -> None:
        self.counts: list[Tensor] = []

    def __call__(self, numbers: Tensor, inside: Tensor | None = None) -> Tensor:
        """Zero; how many numbers count is remembered."""
        self.counts.append(_count(numbers, inside))
        return numbers.sum() * 0


def _count(numbers: Tensor, inside: Tensor | None) -> Tensor:
    with torch.no_grad():
        if inside is None:
            return torch.full((), float(numbers.numel()), dtype=numbers.dtype, device=numbers.device)
        counted: Tensor = inside.sum()
        return counted


def local_device(name: str) -> str:
    """The device of this process: under torchrun, "cuda" stands for the GPU with the process's number on its node."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined within the block; alone where it started none.

    Raises:
        UsageError: torchrun's environment is incomplete, or the processes do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield Processes()
        return
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(local_device(device))
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (ValueError, RuntimeError) as cause:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes cannot be joined: {cause} Start them by "
            "torchrun --nproc-per-node N -m ctrlnet.cli train NAME, or unset WORLD_SIZE."
        ) from cause
    try:
        yield Processes()
    finally:
        dist.destroy_process_group()
