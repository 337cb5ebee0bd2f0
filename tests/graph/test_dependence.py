"""Which inputs entries read: known cases, and that what is not read does not matter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ctrlnet.graph import trace
from ctrlnet.graph.dependence import inputs_read

WEIGHT = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]], dtype=torch.float64)


def stacked(*parts: Tensor) -> Tensor:
    return torch.stack(parts, -1)


KNOWN: dict[str, tuple[Callable[[Tensor], Tensor], list[set[int]]]] = {
    "entries": (lambda x: stacked(x[..., 2], x[..., 0] * x[..., 1]), [{2}, {0, 1}]),
    "a matrix with zeros": (lambda x: torch.tanh(x @ WEIGHT.T), [{0, 2}, set()]),
    "sums and norms": (
        lambda x: stacked(x[..., :2].sum(-1), torch.linalg.vector_norm(x[..., 1:], dim=-1)),
        [{0, 1}, {1, 2}],
    ),
    "a condition": (
        lambda x: stacked(torch.where(x[..., 0] > 0, x[..., 1], -x[..., 1]), torch.ones_like(x[..., 0])),
        [{0, 1}, set()],
    ),
    "what cancels but for a rounding": (lambda x: stacked(x[..., 0] + x[..., 1] - x[..., 1], x[..., 2]), [{0, 1}, {2}]),
    "a quotient": (lambda x: stacked(x[..., 0] / (2 + x[..., 1].cos()), x[..., 2].relu().exp()), [{0, 1}, {2}]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_inputs_of_each_entry(name: str) -> None:
    function, expected = KNOWN[name]
    x = torch.rand(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    graph, output = trace(function, 3, x, (2,), "f")
    found = inputs_read(graph, output)
    assert [set(entry) for entry in found] == expected
    for i in range(3):
        moved = x.clone()
        moved[:, i] = moved[:, i].flip(0)
        free = [j for j, entry in enumerate(found) if i not in entry]
        assert torch.equal(function(moved)[:, free], function(x)[:, free])
