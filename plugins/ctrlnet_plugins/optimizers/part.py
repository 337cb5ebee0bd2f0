"""What a rule moves at once: the weights of one parameter group."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Part(NamedTuple):
    """The weights of one parameter group that have a gradient, and those gradients, in the same order."""

    group: dict[str, Any]
    weights: list[Tensor]
    gradients: list[Tensor]

    @property
    def sign(self) -> float:
        """-1 to descend, 1 to ascend."""
        return 1.0 if self.group["maximize"] else -1.0

    @property
    def foreach(self) -> bool:
        """Whether to use torch's operations on lists: by default on CUDA only, since on a CPU a loop is faster."""
        chosen: bool | None = self.group["foreach"]
        if chosen is None:
            return self.weights[0].is_cuda and all(weight.is_cuda for weight in self.weights)
        return chosen

    @property
    def on_host(self) -> bool:
        """Whether to compute with Python's numbers: on a CPU, one tensor at a time."""
        return not self.foreach and not self.weights[0].is_cuda
