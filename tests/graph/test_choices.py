"""Derivatives of choices: exact away from the switches, whatever a branch that is not taken does there."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch

from ctrlnet.graph import Graph, gradient, inner_product, jacobian, tangent
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.model import along
from ctrlnet.prover.slope import slope_bounds
from tests.prover.enclosure import assert_enclosed
from tests.prover.oracle import exact_value, random_graph, undefined

Build = Callable[[Graph, int], int]


def constant(graph: Graph, value: float, size: int = 1) -> int:
    return graph.constant(np.full(size, float(value)))


def sign(graph: Graph, a: int) -> int:
    return graph.select(a, constant(graph, 1), constant(graph, -1))


def beyond(graph: Graph, u: int, limit: float = 1.5) -> int:
    """The switch of |u| > limit."""
    return graph.binary("sub", graph.unary("abs", u), constant(graph, limit))


def saturation(graph: Graph, u: int) -> int:
    """where(|u| > 3/2, 3/2 sign(u), u)."""
    return graph.select(beyond(graph, u), graph.binary("mul", constant(graph, 1.5), sign(graph, u)), u)


def growing(graph: Graph, u: int) -> int:
    """where(|u| > 3/2, sign(u) (1 + |u|/4), u): the sign is multiplied by what is no number."""
    quarter = graph.binary("mul", constant(graph, 0.25), graph.unary("abs", u))
    high = graph.binary("add", constant(graph, 1), quarter)
    return graph.select(beyond(graph, u), graph.binary("mul", sign(graph, u), high), u)


def rounded(graph: Graph, u: int) -> int:
    """where(|u| > 3/2, ⌊u⌋, u)."""
    return graph.select(beyond(graph, u), graph.unary("floor", u), u)


def root(graph: Graph, u: int) -> int:
    """where(u > 3/2, √(u - 3/2), u), undefined for u < 3/2 in the branch that is not taken."""
    past = graph.binary("sub", u, constant(graph, 1.5))
    return graph.select(past, graph.unary("sqrt", past), u)


def squashed(graph: Graph, u: int) -> int:
    """where(|u| > 3/2, (M sign(w))₁, w₁) for w = (u, 2u) and a matrix M, which mixes the entries of the sign."""
    w = graph.linear(u, np.array([[1.0], [2.0]]))
    pair = graph.select(w, constant(graph, 1, 2), constant(graph, -1, 2))
    switch = graph.take(beyond(graph, u), [0, 0])
    mixed = graph.linear(pair, np.array([[1.0, 0.5], [0.0, 1.0]]))
    return graph.take(graph.select(switch, mixed, w), [0])


CHOICES: dict[str, Build] = {name.__name__: name for name in (saturation, growing, rounded, root, squashed)}
INNER = ((0.0, 0.0), (-0.125, 0.125), (-1.0, 0.5), (0.25, 1.25), (-1.25, 0.0))  # where all of them are u


def bounds(graph: Graph, output: int, low: float, high: float) -> list[Interval]:
    lower, upper = (torch.full((1, graph.dimension), v, dtype=torch.float64) for v in (low, high))
    return [*interval_bounds(graph, [output], lower, upper), slope_bounds(graph, [output], lower, upper)[0].range]


def derivatives(build: Build) -> tuple[Graph, dict[str, int]]:
    """The first and the second derivative, by gradients, and along the motion 1."""
    graph = Graph(1)
    f, still = build(graph, graph.input), constant(graph, 1)
    first, moved = gradient(graph, f), tangent(graph, f, still)
    found = {"f'": first, "f' 1": moved, "∇f·1": along(graph, f, still)}
    return graph, {**found, "f''": gradient(graph, first), "(f' 1)' 1": tangent(graph, moved, still)}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("box", INNER)
def test_a_branch_that_is_not_taken_does_not_enter_a_derivative(name: str, box: tuple[float, float]) -> None:
    graph, nodes = derivatives(CHOICES[name])
    for what, node in nodes.items():
        value = 0.0 if what in ("f''", "(f' 1)' 1") else 1.0
        for found in bounds(graph, node, *box):
            assert found.lower.item() == pytest.approx(value, abs=1e-12), what
            assert found.upper.item() == pytest.approx(value, abs=1e-12), what


OUTER = {"saturation": (0.0, 0.0), "growing": (0.25, 0.25), "rounded": (0.0, 0.0), "root": (1 / math.sqrt(6), 0.5)}


@pytest.mark.parametrize("name", OUTER)
def test_the_branch_that_is_taken_gives_the_derivative(name: str) -> None:
    """On [2.25, 3], less a margin at 3 for the floor; 1/(2√(u - 3/2)) ranges over [1/√6, 1/√3]."""
    graph, nodes = derivatives(CHOICES[name])
    for found in bounds(graph, nodes["f'"], 2.25, 2.9375):
        low, high = (0.0, 0.0) if name == "rounded" else OUTER[name]
        assert found.lower.item() <= high and found.upper.item() >= low
        assert math.isfinite(found.lower.item()) and math.isfinite(found.upper.item())
        if low == high:
            assert found.lower.item() == pytest.approx(low, abs=1e-12) == found.upper.item()


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("box", [(1.0, 2.0), (1.5, 2.0), (1.0, 1.5), (1.5, 1.5)])
def test_where_either_may_be_taken_no_derivative_is_bounded(name: str, box: tuple[float, float]) -> None:
    graph, nodes = derivatives(CHOICES[name])
    for what, node in nodes.items():
        for found in bounds(graph, node, *box):
            assert not (found.lower.item() > -math.inf or found.upper.item() < math.inf), (what, found)


def test_a_sign_that_is_taken_at_zero_is_unbounded() -> None:
    def live(graph: Graph, u: int) -> int:
        return graph.select(beyond(graph, u, 0.0), graph.binary("mul", constant(graph, 1.5), sign(graph, u)), u)

    graph, nodes = derivatives(live)
    for box in ((0.0, 0.0), (-0.25, 0.25), (0.0, 1.0), (-1.0, 0.0)):
        for found in bounds(graph, nodes["f'"], *box):
            assert not (found.lower.item() > -math.inf or found.upper.item() < math.inf)


@pytest.mark.parametrize("heights", [((2, 1), (5, 1)), ((1, 3), (2, 1)), ((2, 1), (3, 1))])
@pytest.mark.parametrize("operation", ["sub", "add", "mul"])
def test_jumps_at_one_place_do_not_cancel(operation: str, heights: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Two choices by one condition jump by heights of their own; so does what is made of them here."""
    graph = Graph(1)
    one, other = (graph.select(graph.input, constant(graph, a), constant(graph, b)) for a, b in heights)
    for found in bounds(graph, gradient(graph, graph.binary(operation, one, other)), -0.5, 0.5):
        assert not (found.lower.item() > -math.inf or found.upper.item() < math.inf)


def test_the_product_of_two_jumps_has_no_sign() -> None:
    graph = Graph(1)
    up, down = (graph.select(graph.input, constant(graph, a), constant(graph, 3 - a)) for a in (2, 1))
    for found in bounds(graph, graph.binary("mul", gradient(graph, up), gradient(graph, down)), -0.5, 0.5):
        assert not found.lower.item() > -math.inf


@pytest.mark.parametrize("operation", ["sqrt", "log"])
def test_a_product_of_a_choice_with_what_is_undefined_stays_undefined(operation: str) -> None:
    """select(x, x, 0) √x has no value for x < 0, though its first factor is zero there; nor has its derivative."""
    graph = Graph(1)
    chosen = graph.select(graph.input, graph.unary("exp", graph.input), constant(graph, 0))
    product = graph.binary("mul", chosen, graph.unary(operation, graph.input))
    signed = graph.binary("mul", chosen, sign(graph, graph.unary(operation, graph.input)))
    nodes = [product, gradient(graph, product), signed, gradient(graph, signed)]
    for node in nodes:
        for found in bounds(graph, node, -2.0, -1.0):
            assert math.isnan(found.lower.item()) and math.isnan(found.upper.item())


def test_a_choice_by_what_is_undefined_has_no_derivative() -> None:
    graph = Graph(1)
    chosen = graph.select(graph.unary("sqrt", graph.input), graph.input, graph.unary("neg", graph.input))
    for found in bounds(graph, gradient(graph, chosen), -2.0, -1.0):
        assert math.isnan(found.lower.item()) and math.isnan(found.upper.item())


def jumping_graph(seed: int) -> tuple[Graph, int]:
    """A random graph with choices within choices."""
    graph, output = random_graph(seed)
    z = graph.take(graph.input, [0])
    return graph, graph.select(beyond(graph, z, 0.75), graph.binary("mul", sign(graph, z), output), output)


@pytest.mark.parametrize("seed", range(60))
def test_gradients_and_tangents_of_choices_are_difference_quotients(seed: int) -> None:
    """(f(x + h y) - f(x - h y)) / 2h in 60 digits, at states where nothing switches between."""
    graph, output = jumping_graph(7000 + seed)
    torch.manual_seed(seed)
    x, y = torch.randn(2, graph.dimension, dtype=torch.float64).tolist()
    motion = graph.constant(np.array(y))
    h = mpmath.mpf(10) ** -20
    there, back = (exact_value(graph, output, [a + k * h * b for a, b in zip(x, y, strict=True)])[0] for k in (1, -1))
    quotient = (there - back) / (2 * h)
    for node in (tangent(graph, output, motion), inner_product(graph, gradient(graph, output), motion)):
        value = exact_value(graph, node, x)[0]
        assert undefined(quotient) or undefined(value) or abs(value - quotient) <= 1e-9 * (1 + abs(quotient))


@pytest.mark.parametrize("seed", range(40))
def test_bounds_of_derivatives_of_choices_hold_all_values(seed: int) -> None:
    graph, output = jumping_graph(8000 + seed)
    first = gradient(graph, output)
    assert_enclosed(graph, [first, gradient(graph, first)], seed)


def test_rows_of_a_jacobian_are_the_gradients() -> None:
    graph = Graph(2)
    swapped = graph.select(graph.take(graph.input, [1, 0]), graph.unary("sin", graph.input), graph.input)
    rows = jacobian(graph, swapped)
    assert rows == [gradient(graph, swapped, i) for i in range(2)]
    first, second = ([float(v) for v in exact_value(graph, row, [-0.5, 2.0])] for row in rows)
    assert first == pytest.approx([math.cos(0.5), 0.0]) and second == pytest.approx([0.0, 1.0])


def test_step_and_jump_of_a_number_have_one_value_except_at_zero() -> None:
    graph = Graph(1)
    for value, step in ((2, 1), (-3, 0)):
        held = graph.constant([value])
        assert graph.unary("step", held) == graph.constant([step])
        assert graph.unary("jump", held) == graph.constant([0])
    for operation in ("step", "jump"):
        assert graph.held(graph.unary(operation, graph.constant([0]))) is None
        assert graph.held(graph.unary(operation, graph.constant([1, 0]))) is None
