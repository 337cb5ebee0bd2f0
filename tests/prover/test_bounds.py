"""Every bound contains every value: random graphs and their derivatives, boxes of all sizes, 60-digit arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ctrlnet.graph import PRIMITIVES, Graph, gradient
from ctrlnet.prover import second_order
from ctrlnet.prover.interval import RULES, Interval, interval_bounds
from ctrlnet.prover.slope import FORMS, slope_bounds
from tests.prover.enclosure import assert_enclosed, assert_in_form, boxes
from tests.prover.oracle import exact_value, random_graph


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


@pytest.mark.parametrize("seed", range(8))
def test_a_node_that_others_use_is_an_output_too(seed: int) -> None:
    """Forms are dropped after their last use: not those asked for, in any order, twice, or before what needs them."""
    graph, output = random_graph(seed)
    lower, upper = boxes(graph.dimension, seed)
    inner = graph.nodes[output].arguments
    asked = [output, *inner, output, graph.input]
    together = slope_bounds(graph, asked, lower, upper)
    for node, form in zip(asked, together, strict=True):
        (alone,) = slope_bounds(graph, [node], lower, upper)
        for part, other in zip((form.terms, *form.range), (alone.terms, *alone.range), strict=True):
            assert torch.equal(part.nan_to_num(7.0), other.nan_to_num(7.0))


def _policy(width: int, seed: int) -> tuple[Graph, list[int]]:
    """W tanh(W tanh(W x + b) + b) and its square times a state, an output on the way among them."""
    draw, graph = np.random.default_rng(seed), Graph(2)
    layer = graph.input
    for size in (width, width, 1):
        scale = 10.0 ** draw.uniform(-3, 3)
        inner = graph.linear(layer, draw.standard_normal((size, graph.size(layer))))
        shifted = graph.binary("add", inner, graph.constant([Fraction(b) for b in scale * draw.standard_normal(size)]))
        layer = graph.unary("tanh", shifted)
    product = graph.binary("mul", graph.unary("square", layer), graph.take(graph.input, [1]))
    return graph, [product, shifted, graph.binary("sub", inner, product)]


@pytest.mark.parametrize("seed", range(12))
def test_layers_with_biases_of_every_size(seed: int) -> None:
    graph, outputs = _policy(6, seed)
    assert_enclosed(graph, outputs, seed)


@pytest.mark.parametrize("width", [3, 24])
def test_bounds_do_not_depend_on_how_boxes_are_taken(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, or in chunks, the narrow nodes in larger ones; up to the order of sums."""
    lower = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    graph, outputs = _policy(width, 0)
    whole = slope_bounds(graph, outputs, lower, lower + 0.1)
    monkeypatch.setattr("ctrlnet.prover.slope.CHUNK", 700 * width)
    graph, outputs = _policy(width, 0)  # what was planned for the other is kept
    for form, other in zip(slope_bounds(graph, outputs, lower, lower + 0.1), whole, strict=True):
        parts, wanted = ((some.terms, some.remainder, *some.range) for some in (form, other))
        torch.testing.assert_close(parts, wanted, rtol=1e-12, atol=1e-12)


def test_constants_of_a_graph_that_grows() -> None:
    """They are bounded once: what is added afterwards has its own."""
    graph = Graph(2)
    first = graph.unary("tanh", graph.constant([Fraction(1, 3), Fraction(2)]))
    total = graph.binary("add", first, graph.unary("sin", graph.input))
    assert_enclosed(graph, [total, first], 0)
    second = graph.unary("exp", graph.binary("mul", first, graph.constant([Fraction(1, 7), Fraction(-5)])))
    assert_enclosed(graph, [graph.binary("mul", second, total), second, first, graph.constant([1])], 1)


@pytest.mark.parametrize(("factor", "at"), [(1e-310, 1e300), (1e-308, 1.3e30), (3.3e300, 1.7e-310), (5e-324, 7e307)])
@pytest.mark.parametrize("width", [0.0, 1e-16, 0.1])
def test_tiny_times_huge(factor: float, at: float, width: float) -> None:
    """Of such a product the rounding is not tiny, though that of the tiny factor is below every float64."""
    graph = Graph(1)
    held = graph.constant([Fraction(factor)])
    outputs = [
        graph.binary("mul", graph.input, held),
        graph.linear(graph.input, np.array([[factor], [-0.3 * factor]])),
        graph.binary("add", graph.binary("mul", graph.input, held), graph.constant([Fraction(1, 3)])),
        graph.binary("add", graph.linear(graph.input, np.array([[factor]])), graph.constant([Fraction(-factor * at)])),
    ]
    lower, upper = (torch.tensor([[at * (1 + side * width)]], dtype=torch.float64) for side in (0, 1))
    forms = slope_bounds(graph, outputs, lower, upper)
    for state in (lower.item(), upper.item()):
        for output, form in zip(outputs, forms, strict=True):
            for k, value in enumerate(exact_value(graph, output, [state])):
                assert_in_form(form, 0, k, value, [state], 0.5 * lower[0] + 0.5 * upper[0], lower, upper, k)


@pytest.mark.parametrize("m", range(1, 8))
def test_sums_of_parts_short_and_long(m: int) -> None:
    """Added one by one and by a reduction; a sum of squares is never negative, be its terms as unequal as they may."""
    graph = Graph(2 * m)
    scales = graph.constant([Fraction(10) ** (3 * (i % 5) - 6) for i in range(2 * m)])
    squares = graph.unary("square", graph.binary("mul", graph.input, scales))
    outputs = [graph.sum(squares, 2), graph.sum(graph.binary("sub", graph.input, scales), 2), graph.sum(squares, 1)]
    assert_enclosed(graph, outputs, m, count=3)
    for bounds in (interval_bounds, slope_bounds):
        found = bounds(graph, outputs, *boxes(graph.dimension, m))[0]
        least = found.lower if isinstance(found, Interval) else found.range.lower
        assert (least >= 0).all()


@pytest.mark.parametrize("half", [1e-3, 1.0, 30.0])
def test_linear_maps_of_what_is_bounded(half: float) -> None:
    """W tanh(x) lies within |W| of its value at the middle, however far x may reach, and the slope form knows it."""
    graph = Graph(3)
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = graph.linear(graph.unary("tanh", graph.input), weight.numpy())
    lower, upper = torch.full((1, 3), -half, dtype=torch.float64), torch.full((1, 3), half, dtype=torch.float64)
    bounds = slope_bounds(graph, [output], lower, upper)[0].range
    most = weight.abs().sum(1) * torch.tanh(torch.tensor(half)).double()
    assert (bounds.upper >= most * (1 - 1e-6)).all() and (bounds.upper <= most * (1 + 1e-6)).all()
    assert torch.allclose(bounds.lower, -bounds.upper)


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
