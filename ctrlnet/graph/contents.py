"""What a piece of memory holds, entry by entry, so that a write through one view is seen through all others."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ctrlnet.graph.expression import Graph

Entry = tuple[int, int]  # a node, and which of its entries


class Contents:
    """The entries of the memory behind a tensor; None where nothing is known."""

    def __init__(self, tensor: Tensor):
        self.entries: list[Entry | None] = [None] * _count(tensor)

    def put(self, tensor: Tensor, node: int) -> None:
        """The entries that `tensor` looks at are those of the node, in row-major order."""
        for entry, place in enumerate(places(tensor)):
            self.entries[place] = (node, entry)

    def get(self, graph: Graph, tensor: Tensor) -> int | None:
        """The node of what `tensor` looks at; None where an entry is not known."""
        found = [self.entries[place] for place in places(tensor)]
        known = [entry for entry in found if entry is not None]
        if len(known) < len(found):
            return None
        runs = itertools.groupby(known, key=lambda entry: entry[0])
        return graph.concatenate([graph.take(node, [i for _, i in run]) for node, run in runs])


def places(tensor: Tensor) -> list[int]:
    """Where in memory the entries of a tensor are.

    Two may be in one place. Which of them is written last is torch's choice; it refuses most such writes, but not those
    by an index or a mask.
    """
    numbers = torch.arange(_count(tensor))
    found = numbers.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
    return [int(place) for place in found.reshape(-1).tolist()]


def _count(tensor: Tensor) -> int:
    """Entries of the memory behind a tensor."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().nbytes() // tensor.element_size()
