"""Remainders by adjoints: sound whatever the signs, never more than forward, and less where weights cancel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctrlnet.graph import Graph
from ctrlnet.prover import second_order
from ctrlnet.prover.backward import Factor, Groups, Influence, Matrix, Part, Selection, Sign
from ctrlnet.prover.backward import backward_remainder as backward
from ctrlnet.prover.second_order import quadratic_bounds
from tests.prover.test_quadratic import assert_enclosed, network

GENERATOR = torch.Generator().manual_seed(0)
INFLUENCES: list[tuple[Influence, int]] = [
    (Factor(torch.randn(2, 6, generator=GENERATOR, dtype=torch.float64)), 6),
    (Sign(-1.0), 6),
    (Matrix(torch.randn(4, 6, generator=GENERATOR, dtype=torch.float64)), 6),
    (Selection(torch.tensor([5, 1, 1, 0]), 6), 6),
    (Groups(2, 3), 6),
    (Part(2, 8, 11), 6),
]


@pytest.mark.parametrize(("influence", "size"), INFLUENCES, ids=lambda p: type(p).__name__)
def test_spread_and_adjoint_are_of_one_matrix(influence: Influence, size: int) -> None:
    """With λ = 1 the adjoint gives the rows of J; |J| r is what is spread."""
    remainder = torch.rand(2, size, generator=GENERATOR, dtype=torch.float64)
    spread = influence.spread(remainder)
    rows = influence.adjoint(torch.eye(spread.shape[1], dtype=torch.float64)[None])
    expected = (rows.abs() * remainder[:, None]).sum(2)
    assert torch.allclose(spread, expected, rtol=1e-12)


def _remainders(graph: Graph, output: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """Forward and backward."""
    lower = torch.full((1, graph.dimension), 0.1, dtype=torch.float64)
    refined = quadratic_bounds(graph, [output], lower, lower + 0.03)[0].remainder.item()
    monkeypatch.setattr(second_order, "backward_remainder", lambda graph, output, steps, forward: forward)
    return quadratic_bounds(graph, [output], lower, lower + 0.03)[0].remainder.item(), refined


@pytest.mark.parametrize(("widths", "gain"), [([2, 8, 8], 1.02), ([2, 32, 32], 1.2), ([2, 128, 128], 2.0)])
def test_less_and_the_more_so_the_wider(widths: list[int], gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, refined = _remainders(*network(widths, 3), monkeypatch)
    assert gain * refined < forward


def test_errors_that_cancel_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """tanh(Ax) - tanh(Ax), hidden from the graph's own simplification by two linear maps."""
    graph = Graph(2)
    hidden = graph.unary("tanh", graph.linear(graph.input, np.array([[1.0, 2.0], [-1.0, 0.5]])))
    halves = graph.linear(hidden, np.array([[1.0, 1.0], [1.0, 1.0]]))
    forward, refined = _remainders(graph, graph.linear(halves, np.array([[1.0, -1.0]])), monkeypatch)
    assert forward > 1e-7
    assert refined < 1e-13


def test_a_share_of_one_argument_is_not_taken_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """max(a, b) - a where a and b touch: the error of the argument that decides, once."""
    graph = Graph(1)
    a = graph.unary("tanh", graph.input)
    b = graph.binary("sub", a, graph.unary("square", graph.input))
    output = graph.binary("sub", graph.binary("maximum", a, b), a)
    for seed in range(10):
        assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("operation", ["maximum", "minimum"])
def test_a_touched_limit_keeps_the_curvature(operation: str) -> None:
    """max(z + z², -1/64) for z >= -1/32 lies above the limit but for a corner: little is lost, either way round."""
    graph = Graph(1)
    z = graph.input
    bent = graph.binary("add", z, graph.unary("square", z))
    limit = graph.constant([-1 / 64])
    if operation == "minimum":
        bent, limit = graph.unary("neg", bent), graph.constant([1 / 64])
    lower = torch.tensor([[-1 / 32]], dtype=torch.float64)
    for pair in ((bent, limit), (limit, bent)):
        output = graph.binary(operation, *pair)
        form = quadratic_bounds(graph, [output], lower, lower + 1)[0]
        assert form.remainder.item() < 0.02 < 0.2 < form.second.item()
        for seed in range(4):
            assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("seed", range(6))
def test_networks_are_enclosed(seed: int) -> None:
    graph, output = network([2 + seed % 3, 6, 5], seed)
    assert_enclosed(graph, [output], seed)


def test_what_is_unbounded_forward_stays_so() -> None:
    graph = Graph(1)
    output = graph.binary("div", graph.constant([1]), graph.input)
    ends = torch.tensor([[-1.0]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)
    found = quadratic_bounds(graph, [output], *ends)[0]
    assert not (found.range.lower > -1e300).any() and not (found.range.upper < 1e300).any()


def test_no_step_no_refinement() -> None:
    forward = torch.ones(1, 2, dtype=torch.float64)
    graph = Graph(2)
    assert backward(graph, graph.input, {}, forward).le(forward).all()
