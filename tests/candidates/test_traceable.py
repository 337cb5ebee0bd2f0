"""Policies and candidates use only operations that a proof has rules for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from damped_pendulum import pendulum
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ctrlnet import ClosedLoop, Feedback, NeuralCandidate, Quadratic, mlp

ELEMENTWISE = {"add", "sub", "mul", "div", "maximum", "minimum", "sin", "tanh", "relu", "pow", "neg"}
LINEAR = {"addmm", "mm", "mv", "t", "sum"}
SHAPES = {"view", "unsqueeze", "squeeze_", "select", "unbind", "stack", "zeros_like", "ones_like"}


class Operations(TorchDispatchMode):
    """Notes the name of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


def functions() -> list[nn.Module | ClosedLoop]:
    plant = pendulum()
    policies = [
        Feedback(mlp((2, 8, 1), activation, bias=bias, seed=0), plant.limits, at=(0, 0), control_at=(0,), scale=(2, 4))
        for activation in ("tanh", "relu")
        for bias in (True, False)
    ]
    candidates = [Quadratic(2), NeuralCandidate(mlp((2, 8, 3), seed=0), 2)]
    return [*policies, *candidates, *(ClosedLoop(plant, policy) for policy in policies)]


@pytest.mark.parametrize("function", functions())
@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 4, 2)])
def test_operations(function: nn.Module | ClosedLoop, shape: tuple[int, ...]) -> None:
    x: Tensor = torch.rand(shape, dtype=torch.float64)
    with torch.no_grad(), Operations() as seen:  # with gradients, autograd adds its own detach
        function(x)
    batched = {"_unsafe_view", "expand", "bmm"} if len(shape) > 2 else set()
    assert seen.names <= ELEMENTWISE | LINEAR | SHAPES | batched
