"""Every bound contains every value: random graphs and their derivatives, boxes of all sizes, 60-digit arithmetic."""

from __future__ import annotations

import pytest
import torch

from ctrlnet.graph import PRIMITIVES, Graph, gradient
from ctrlnet.prover import second_order
from ctrlnet.prover.interval import RULES, interval_bounds
from ctrlnet.prover.slope import FORMS, slope_bounds
from tests.prover.enclosure import assert_enclosed
from tests.prover.oracle import random_graph


@pytest.mark.parametrize("seed", range(150))
def test_random_graphs(seed: int) -> None:
    graph, output = random_graph(seed)
    assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("seed", range(60))
def test_derivatives_of_random_graphs(seed: int) -> None:
    graph, output = random_graph(1000 + seed, smooth=seed % 2 == 0)
    assert_enclosed(graph, [gradient(graph, output)], seed)


@pytest.mark.parametrize("seed", range(20))
def test_second_derivatives_of_random_graphs(seed: int) -> None:
    graph, output = random_graph(2000 + seed, smooth=seed % 2 == 0)
    assert_enclosed(graph, [gradient(graph, gradient(graph, output), seed % graph.dimension)], seed, count=3)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_ten_thousand_random_graphs(block: int) -> None:
    """Values and gradients."""
    for seed in range(10_000 + 200 * block, 10_000 + 200 * (block + 1)):
        graph, output = random_graph(seed, smooth=seed % 4 == 0)
        assert_enclosed(graph, [output, gradient(graph, output)], seed, count=2)


def test_clarke_hulls_at_kinks_touched_by_equality() -> None:
    """A box that ends at the kink, or is the kink, takes both sides."""
    graph = Graph(1)
    output = gradient(graph, graph.unary("abs", graph.input))
    for low, high, hull in (
        (0.0, 1.0, (-1, 1)),
        (-1.0, 0.0, (-1, 1)),
        (0.0, 0.0, (-1, 1)),
        (1.0, 2.0, (1, 1)),
        (-2.0, -1.0, (-1, -1)),
    ):
        lower, upper = torch.tensor([[low]], dtype=torch.float64), torch.tensor([[high]], dtype=torch.float64)
        (interval,), (slope,) = (
            interval_bounds(graph, [output], lower, upper),
            slope_bounds(graph, [output], lower, upper),
        )
        for bounds in (interval, slope.range):
            assert bounds.lower.item() <= hull[0] and bounds.upper.item() >= hull[1]


def test_nothing_is_proved_about_a_pole_or_nan() -> None:
    graph = Graph(1)
    output = graph.binary("div", graph.constant([1]), graph.input)
    lower, upper = torch.tensor([[-1.0]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)
    bounds = slope_bounds(graph, [output], lower, upper)[0].range
    assert not (bounds.lower > -1e300).any() and not (bounds.upper < 1e300).any()


def test_tables_name_the_same_primitives() -> None:
    named = set(PRIMITIVES) - {"input", "constant"}
    assert set(RULES) == named
    assert set(FORMS) == named


def test_bounds_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrlnet.prover.slope.CHUNK", 1)  # four chunks of 512 boxes at most
    graph, output = random_graph(3, smooth=True)
    lower = torch.randn(2000, graph.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = slope_bounds(graph, [output], lower, lower + 0.1)[0]
        torch.set_num_threads(3)
        together = slope_bounds(graph, [output], lower, lower + 0.1)[0]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone.terms, together.terms) and torch.equal(alone.remainder, together.remainder)
    assert torch.equal(alone.range.lower, together.range.lower) and torch.equal(alone.range.upper, together.range.upper)


def test_slope_forms_shrink_quadratically() -> None:
    """The excess width of a slope form falls as the square of the box; that of an interval falls linearly."""
    graph, output = random_graph(3, smooth=True)
    center = torch.full((1, graph.dimension), 0.3, dtype=torch.float64)
    remainders = [slope_bounds(graph, [output], center - h, center + h)[0].remainder.item() for h in (1e-2, 1e-3)]
    assert remainders[1] < 0.02 * remainders[0]


@pytest.mark.parametrize("seed", range(30))
def test_all_tensors_of_a_bound_are_on_the_device_of_the_boxes(seed: int) -> None:
    """Shown without another device: on "meta", which computes shapes alone and mixes with no other."""
    graph, output = random_graph(seed)
    corner = torch.zeros(3, graph.dimension, dtype=torch.float64, device="meta")
    for form in (*slope_bounds(graph, [output], corner, corner), *second_order.bounds(graph, [output], corner, corner)):
        assert form.terms.device == form.range.lower.device == corner.device
