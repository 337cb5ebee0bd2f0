"""A traced graph is the function; what cannot be traced is refused by name and line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrlnet import exact
from ctrlnet.errors import LyingTrace, NonFinite, ShapeError, UnsupportedOperation, UsageError
from ctrlnet.graph import evaluate, trace

STATES = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
MATRIX = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: (2 * x[..., 0] + x[..., 1] / 3 - x[..., 2]) * (1 - x[..., 0]) / (2 + x[..., 1].square()),
    "powers": lambda x: (x**2).sum(-1) + x[..., 0] ** 3 - x[..., 1] ** 5 + (2 + x[..., 2] ** 2) ** -2,
    "elementary": lambda x: (torch.sin(x) + torch.cos(x) * torch.tanh(x) + torch.exp(-x.square())).sum(-1),
    "activations": lambda x: (torch.sigmoid(x) + torch.nn.functional.silu(x) + torch.relu(x)).mean(-1),
    "leaky": lambda x: torch.nn.functional.leaky_relu(x, 0.2).sum(-1) + torch.nn.functional.hardtanh(x).sum(-1),
    "kinks": lambda x: torch.abs(x[..., 0]) + torch.maximum(x[..., 1], x[..., 2]) - torch.minimum(x[..., 0], x[..., 1]),
    "clamp": lambda x: torch.clamp(x, -0.3, 0.7).sum(-1) + x.clamp(min=0.1).sum(-1) + x.clamp(max=-0.1).sum(-1),
    "quadratic form": lambda x: ((x @ MATRIX) * x).sum(-1),
    "matrices": lambda x: (MATRIX @ x[..., None])[..., 0].square().sum(-1),
    "outer product": lambda x: (x[..., :, None] * x[..., None, :] * MATRIX).sum((-1, -2)),
    "einsum": lambda x: torch.einsum("...i,ij,...j->...", x, MATRIX, x),
    "stack and cat": lambda x: torch.cat([torch.stack([x[..., 2], x[..., 0]], -1), x[..., 1:]], -1).square().sum(-1),
    "views": lambda x: x.unbind(-1)[1] * x.flip(-1)[..., 0] + x.roll(1, -1)[..., 2] * x.unsqueeze(-1)[..., 1, 0],
    "keepdim": lambda x: ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1),
    "exact": lambda x: exact("9.81") / exact("0.5") * torch.sin(x[..., 0]) - x[..., 1] * exact("1/3") + exact("0.1"),
    "factories": lambda x: (x + torch.ones(3, dtype=x.dtype) + torch.zeros_like(x)).sum(-1),
    "detached": lambda x: (x.detach() * x).sum(-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_graph_equals_the_function(name: str) -> None:
    function = FUNCTIONS[name]
    graph, output = trace(function, 3, STATES, 1)
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], function(STATES), rtol=1e-12, atol=1e-12)


def test_a_declared_decimal_stays_a_rational() -> None:
    graph, _ = trace(lambda x: exact("9.81") * x[..., 0], 3, STATES, 1)
    constants = [node.attribute.fractions for node in graph.nodes if node.operation == "constant"]
    assert (exact("9.81"),) in constants


def test_a_float32_module_is_traced_with_its_exact_weights() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    graph, output = trace(network, 3, STATES, 1)
    expected = network.double()(STATES)
    assert torch.allclose(evaluate(graph, [output], STATES)[0], expected, rtol=1e-12, atol=1e-12)


def _through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sin(x.numpy())).sum(-1)


def _through_list(x: Tensor) -> Tensor:
    return torch.tensor([v * v for v in x.reshape(-1).numpy().tolist()]).reshape(x.shape).sum(-1)


@pytest.mark.parametrize("function", [_through_numpy, _through_list])
def test_values_hidden_from_torch_are_found_out(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(LyingTrace, match="hidden"):
        trace(function, 3, STATES, 1)


def _branching(x: Tensor) -> Tensor:
    return x.sum(-1) if x[..., 0] > 0 else -x.sum(-1)


def _in_place(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[..., 0] = x[..., 1]
    return y.sum(-1)


UNSUPPORTED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "besselj": (lambda x: torch.special.bessel_j0(x).sum(-1), "bessel_j0"),
    "random": (lambda x: (x + torch.rand(3, dtype=x.dtype)).sum(-1), "rand"),
    "dropout": (lambda x: torch.nn.functional.dropout(x, 0.5, training=True).sum(-1), "aten"),
    "control flow": (_branching, "aten"),
    "in place": (_in_place, "in place"),
    "fractional power": (lambda x: (x.square() + 1).pow(0.5).sum(-1), "0.5"),
    "truncation": (lambda x: x.long().double().sum(-1), "int64"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_operation_without_a_rule_is_named_with_the_users_line(name: str) -> None:
    function, word = UNSUPPORTED[name]
    with pytest.raises(UnsupportedOperation, match=word) as caught:
        trace(function, 3, STATES, 1)
    assert "test_trace.py" in str(caught.value)


def test_mixed_rows_are_found_out() -> None:
    with pytest.raises(UsageError, match="mixes the rows"):
        trace(lambda x: x.sum(-1) - x.mean(), 3, STATES, 1)


def test_wrong_shapes_and_nan_are_errors() -> None:
    with pytest.raises(ShapeError, match="must have 1 entries"):
        trace(lambda x: x, 3, STATES, 1)
    with pytest.raises(NonFinite):
        trace(lambda x: x.sum(-1) * float("nan"), 3, STATES, 1)
