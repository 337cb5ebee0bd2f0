"""Every bound contains every value: random graphs and their derivatives, boxes of all sizes, 60-digit arithmetic."""

from __future__ import annotations

import random

import mpmath
import pytest
import torch
from torch import Tensor

from ctrlnet.graph import PRIMITIVES, Graph, gradient
from ctrlnet.prover.bands import BANDS
from ctrlnet.prover.interval import RULES, interval_bounds
from ctrlnet.prover.slope import FORMS, Slope, slope_bounds
from tests.prover.oracle import exact_value, random_graph

SIZES = (3.0, 0.5, 1e-2, 1e-5, 1e-9, 1e-14, 0.0)


def boxes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes of every size about points that include the origin, kinks at zero and large states."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(len(SIZES), n, generator=generator, dtype=torch.float64)
    centers[seed % len(SIZES)] = 0.0
    centers[(seed + 1) % len(SIZES)] *= 30.0
    half = torch.tensor(SIZES)[:, None] * torch.rand(len(SIZES), n, generator=generator, dtype=torch.float64)
    return centers - half, centers + half


def points(lower: Tensor, upper: Tensor, draw: random.Random) -> list[list[float]]:
    """Corners, the kink at zero where it lies inside, and random states of one box, exactly in it."""
    states = []
    for _ in range(6):
        state = []
        for low, high in zip(lower.tolist(), upper.tolist(), strict=True):
            inside = [low, high, min(max(low + draw.random() * (high - low), low), high)]
            state.append(draw.choice([*inside, 0.0] if low <= 0 <= high else inside))
        states.append(state)
    return states


def assert_enclosed(graph: Graph, outputs: list[int], seed: int) -> None:
    lower, upper = boxes(graph.dimension, seed)
    intervals, slopes = interval_bounds(graph, outputs, lower, upper), slope_bounds(graph, outputs, lower, upper)
    draw = random.Random(seed)
    for box in range(len(lower)):
        middle = 0.5 * lower[box] + 0.5 * upper[box]
        for state in points(lower[box], upper[box], draw):
            for output, interval, slope in zip(outputs, intervals, slopes, strict=True):
                for k, value in enumerate(exact_value(graph, output, state)):
                    low, high = interval.lower[box, k].item(), interval.upper[box, k].item()
                    assert not (value < low or value > high), (seed, "interval", output, state)
                    _assert_in_form(slope, box, k, value, state, middle, lower, upper, seed)


def _assert_in_form(
    slope: Slope,
    box: int,
    k: int,
    value: mpmath.mpf,
    state: list[float],
    middle: Tensor,
    lower: Tensor,
    upper: Tensor,
    seed: int,
) -> None:
    """The value is in the range, and within r of c + Σ Aᵢ eᵢ with the state's own e."""
    row = box if len(slope.terms) > 1 else 0
    low, high = slope.range.lower[row, k].item(), slope.range.upper[row, k].item()
    assert not (value < low or value > high), (seed, "slope range", state)
    terms, remainder = slope.terms[row, :, k].tolist(), slope.remainder[row, k].item()
    half = torch.maximum(upper[box] - middle, middle - lower[box])
    half = torch.where(half > 0, torch.nextafter(half, half + 1), half).tolist()
    e = [
        (mpmath.mpf(s) - mpmath.mpf(m)) / h if h else mpmath.mpf(0)
        for s, m, h in zip(state, middle.tolist(), half, strict=True)
    ]
    affine = mpmath.mpf(terms[0]) + mpmath.fsum(
        mpmath.mpf(a) * t for a, t in zip(terms[1:], e[: len(terms) - 1], strict=True)
    )
    assert not abs(value - affine) > remainder, (seed, "slope form", state)


@pytest.mark.parametrize("seed", range(150))
def test_random_graphs(seed: int) -> None:
    graph, output = random_graph(seed)
    assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("seed", range(60))
def test_derivatives_of_random_graphs(seed: int) -> None:
    graph, output = random_graph(1000 + seed, smooth=True)
    assert_enclosed(graph, [gradient(graph, output)], seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_graphs(block: int) -> None:
    for seed in range(10_000 + 100 * block, 10_000 + 100 * (block + 1)):
        graph, output = random_graph(seed)
        assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("operation", sorted(BANDS))
def test_elementwise_rules_on_ranges_of_every_kind(operation: str) -> None:
    """One primitive at a time: kinks at the ends, tiny and huge ranges, ranges around extrema."""
    graph = Graph(1)
    output = graph.unary(operation, graph.input)
    ends = [
        -1e3,
        -40.0,
        -3.2,
        -1.0,
        -1e-3,
        -1e-12,
        0.0,
        1e-300,
        1e-9,
        0.3,
        1.5707963267948966,
        3.141592653589793,
        7.0,
        200.0,
    ]
    pairs = [(a, b) for a in ends for b in ends if a <= b] + [(a, a + 1e-7) for a in ends]
    lower = torch.tensor([[a] for a, _ in pairs], dtype=torch.float64)
    upper = torch.tensor([[b] for _, b in pairs], dtype=torch.float64)
    (interval,), (slope,) = interval_bounds(graph, [output], lower, upper), slope_bounds(graph, [output], lower, upper)
    draw = random.Random(0)
    for box, (a, b) in enumerate(pairs):
        inside = (
            [a, b]
            + [min(max(a + draw.random() * (b - a), a), b) for _ in range(8)]
            + [z for z in (0.0, 1.5, -1.5) if a <= z <= b]
        )
        for z in inside:
            (value,) = exact_value(graph, output, [z])
            assert interval.lower[box, 0].item() <= value <= interval.upper[box, 0].item(), (operation, a, b, z)
            middle = 0.5 * lower[box] + 0.5 * upper[box]
            _assert_in_form(slope, box, 0, value, [z], middle, lower, upper, 0)


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


def test_slope_forms_shrink_quadratically() -> None:
    """The excess width of a slope form falls as the square of the box; that of an interval falls linearly."""
    graph, output = random_graph(3, smooth=True)
    center = torch.full((1, graph.dimension), 0.3, dtype=torch.float64)
    remainders = [slope_bounds(graph, [output], center - h, center + h)[0].remainder.item() for h in (1e-2, 1e-3)]
    assert remainders[1] < 0.02 * remainders[0]
