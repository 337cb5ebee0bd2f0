"""Tangents: equal to gradients times motions where all is smooth, and the segment between the sides of a kink."""

from __future__ import annotations

import pytest
import torch

from ctrlnet.graph import Graph, evaluate, gradient, inner_product, tangent
from ctrlnet.prover.model import along
from ctrlnet.prover.slope import slope_bounds
from tests.prover.enclosure import assert_enclosed
from tests.prover.oracle import random_graph


def moved(graph: Graph) -> int:
    """A motion that depends on the state."""
    return graph.unary("sin", graph.linear(graph.input, torch.randn(2 * (graph.dimension,)).double().numpy()))


@pytest.mark.parametrize("seed", range(120))
def test_the_tangent_is_the_gradient_times_the_motion(seed: int) -> None:
    graph, output = random_graph(3000 + seed, smooth=seed % 3 == 0)
    torch.manual_seed(seed)
    motion = moved(graph)
    forward, backward = tangent(graph, output, motion), inner_product(graph, gradient(graph, output), motion)
    x = torch.randn(64, graph.dimension, dtype=torch.float64)
    mine, other = evaluate(graph, [forward, backward], x)
    both = mine.isfinite() & other.isfinite()
    scale = 1 + slope_bounds(graph, [forward], x, x)[0].magnitude.nan_to_num(1e300)
    assert bool(((mine - other).abs() <= 1e-9 * scale)[both].all())


@pytest.mark.parametrize("seed", range(60))
def test_bounds_of_tangents_hold_all_values(seed: int) -> None:
    graph, output = random_graph(4000 + seed, smooth=seed % 2 == 0)
    torch.manual_seed(seed)
    assert_enclosed(graph, [tangent(graph, output, moved(graph))], seed)


def test_two_sides_of_a_kink_are_enclosed_by_their_segment() -> None:
    """min(2x - y, 2y - x) along (1, 1): both gradients give 1, their box hull [-1, 2] x [-1, 2] anything to -2."""
    graph = Graph(2)
    rows = torch.tensor([[2.0, -1.0], [-1.0, 2.0]], dtype=torch.float64).numpy()
    pair = graph.linear(graph.input, rows)
    least = graph.binary("minimum", graph.take(pair, [0]), graph.take(pair, [1]))
    motion = graph.constant([1, 1])
    around = torch.full((1, 2), 0.1, dtype=torch.float64)
    forward, backward = slope_bounds(
        graph,
        [tangent(graph, least, motion), inner_product(graph, gradient(graph, least), motion)],
        -around,
        around,
    )
    assert forward.range.lower.item() == pytest.approx(1) and forward.range.upper.item() == pytest.approx(1)
    assert backward.range.lower.item() < -1


def test_an_undefined_entry_of_the_field_is_not_lost() -> None:
    """V = |x₁| along (-x₁, √x₂): undefined for x₂ < 0 though V does not read it."""
    graph = Graph(2)
    x = [graph.take(graph.input, [i]) for i in range(2)]
    field = graph.concatenate([graph.unary("neg", x[0]), graph.unary("sqrt", x[1])])
    value = graph.unary("abs", x[0])
    low, high = (torch.tensor([corner], dtype=torch.float64) for corner in ([1.0, -1.0], [2.0, 1.0]))
    (form,) = slope_bounds(graph, [along(graph, value, field)], low, high)
    assert not bool(form.range.upper < 0)
    (form,) = slope_bounds(graph, [along(graph, value, field)], low + torch.tensor([0.0, 2.0]), high + 2)
    assert bool(form.range.upper < 0)
