"""Jets over boxes contain what the function does on the box: values, mean values and second-order expansions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import certificates as c
import numpy as np
import pytest

from ctrlnet.checker.functions import FUNCTIONS
from ctrlnet.checker.graph import ARITY as KNOWN
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import OPERATIONS, Evaluator


def box_around(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    centre = rng.uniform(-1.5, 1.5, n) * rng.integers(0, 2, n)  # often on the axes, where kinks are
    width = rng.choice([0.0, 1e-9, 1e-3, 0.1, 0.6], size=n)
    return centre - width * rng.integers(0, 2, n), centre + width


def jet_of(graph: dict[str, Any], lo: np.ndarray, hi: np.ndarray, order: int) -> Interval:
    return Evaluator(read_graph(graph, len(lo), "f"), len(lo))(Interval(lo[None], hi[None]), order)[:, 0, 0]


def test_every_known_operation_has_a_rule() -> None:
    assert set(KNOWN) == {*OPERATIONS, *FUNCTIONS, "input"} - {"reciprocal"}


@pytest.mark.parametrize("seed", range(60))
def test_values_and_mean_values_on_random_graphs_with_kinks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    graph = c.random_graph(n, seed, c.UNARY + c.BINARY)
    lo, hi = box_around(rng, n)
    jet = jet_of(graph, lo, hi, 1)
    x, y = rng.uniform(lo, hi, (2, 500, n))
    fx, fy = c.evaluate(graph, x)[:, 0], c.evaluate(graph, y)[:, 0]
    noise = 1e-12 * (1 + np.abs(fx))
    assert (jet.lo[0] <= fx + noise).all() and (fx - noise <= jet.hi[0]).all()
    d = y - x
    least = np.minimum(jet.lo[1:] * d, jet.hi[1:] * d).sum(1)
    most = np.maximum(jet.lo[1:] * d, jet.hi[1:] * d).sum(1)
    assert (least <= fy - fx + noise).all() and (fy - fx - noise <= most).all()


@pytest.mark.parametrize("seed", range(60))
def test_second_order_expansions_on_random_smooth_graphs(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    n = int(rng.integers(1, 4))
    graph = c.random_graph(n, seed, c.SMOOTH)
    lo, hi = box_around(rng, n)
    hessian = jet_of(graph, lo, hi, 2)[1 + n :]
    x, y = rng.uniform(lo, hi, (2, 50, n))
    evaluator = Evaluator(read_graph(graph, n, "f"), n)
    slope = evaluator(Interval(x, x), 1)[1:, :, 0]
    assert np.isfinite(slope.lo).all() and (slope.hi - slope.lo < 1e-9).all()
    d = y - x
    rest = c.evaluate(graph, y)[:, 0] - c.evaluate(graph, x)[:, 0] - (slope.lo.T * d).sum(1)
    i, j = np.triu_indices(n, 1)
    products = np.concatenate([0.5 * d * d, d[:, i] * d[:, j]], 1)
    least = np.minimum(hessian.lo * products, hessian.hi * products).sum(1)
    most = np.maximum(hessian.lo * products, hessian.hi * products).sum(1)
    assert (least <= rest + 1e-8).all() and (rest - 1e-8 <= most).all()


@pytest.mark.parametrize("seed", range(10))
def test_point_gradients_equal_central_differences(seed: int) -> None:
    graph = c.random_graph(2, seed, c.SMOOTH)
    x = np.random.default_rng(seed).uniform(-1, 1, (1, 2))
    jet = jet_of(graph, x[0], x[0], 1)
    assert np.allclose(jet.lo[1:], c.gradient(graph, x)[0], rtol=1e-5, atol=1e-5)


PRODUCTS: dict[str, Callable[[c.Builder, c.Node, c.Node], c.Node]] = {
    "mul": lambda g, a, b: a * b,
    "div": lambda g, a, b: a / (b + g.constant([3.0])),
    "mul by a constant": lambda g, a, b: a * g.constant([0.7]) + b,
    "mul by an affine function": lambda g, a, b: a * g.linear(np.array([[1.0, -2.0, 0.5]]), g.state),
    "mul of affine functions": lambda g, a, b: g.state[0] * g.state[2] + g.state[1] * g.state[0],
    "power": lambda g, a, b: g.power(a - b, 3),
    "square": lambda g, a, b: g.op("square", a + b * b),
    "norm": lambda g, a, b: g.norm(g.concatenate(a * b, b, g.state), 1) * a,
    "select": lambda g, a, b: g.op("select", g.op("exp", a), a, b) * g.op("select", -g.op("exp", a), a, b),
    "maximum": lambda g, a, b: g.op("maximum", a, b) * b,
    "minimum": lambda g, a, b: g.op("minimum", a, b) * a,
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("seed", range(3))
def test_point_hessians_equal_differences_of_gradients(name: str, seed: int) -> None:
    """Of products of functions with different gradients in three variables: every mixed derivative counts."""
    g = c.Builder(3)
    rng = np.random.default_rng(seed)
    g.state = g.input()
    a, b = (g.op(f, g.linear(rng.normal(size=(1, 3)), g.state)) for f in ("sin", "tanh"))
    graph = g.output(PRODUCTS[name](g, a, b))
    x, step = rng.normal(size=3), 1e-5
    jet = jet_of(graph, x, x, 2)
    expected = np.array([(jet_of(graph, x + e, x + e, 1).lo[1:] - jet_of(graph, x - e, x - e, 1).lo[1:]) / (2 * step)
                         for e in step * np.eye(3)])  # fmt: skip
    i, j = np.triu_indices(3, 1)
    assert np.allclose(jet.lo[4:], [*np.diag(expected), *expected[i, j]], atol=1e-7)
    assert (jet.hi - jet.lo < 1e-12).all()


def test_a_touched_kink_makes_the_second_derivative_unbounded_and_an_untouched_one_zero() -> None:
    g = c.Builder(1)
    graph = g.output(g.op("maximum", g.input(), g.constant([1.0])))
    for lo, hi, first, second in [(1.0, 1.0, (0, 1), np.inf), (0.0, 1.0, (0, 1), np.inf), (1.5, 2.0, (1, 1), 0.0)]:
        jet = jet_of(graph, np.array([lo]), np.array([hi]), 2)
        assert (round(jet.lo[1]), round(jet.hi[1])) == first and jet.hi[2] == second


def test_division_by_zero_in_a_dead_node_does_not_matter_but_in_a_live_one_is_nan() -> None:
    g = c.Builder(1)
    x = g.input()
    bad = g.constant([1.0]) / (x - x)
    dead, live = g.output(x), g.output(x + bad - bad)
    assert np.isfinite(jet_of(dead, np.zeros(1), np.ones(1), 2).lo).all()
    assert np.isnan(jet_of(live, np.zeros(1), np.ones(1), 2).lo[0])


def test_batches_agree_with_single_boxes() -> None:
    graph = c.random_graph(3, 5, c.UNARY + c.BINARY)
    rng = np.random.default_rng(0)
    lo = rng.uniform(-1, 1, (20, 3))
    hi = lo + rng.uniform(0, 0.3, (20, 3))
    batch = Evaluator(read_graph(graph, 3, "f"), 3)(Interval(lo, hi), 2)[:, :, 0]
    for k in range(20):
        single = jet_of(graph, lo[k], hi[k], 2)
        assert np.allclose(batch.lo[:, k], single.lo, rtol=1e-9, equal_nan=True)
        assert np.allclose(batch.hi[:, k], single.hi, rtol=1e-9, equal_nan=True)


def test_a_touched_kink_leaves_no_second_derivative_bounded() -> None:
    """Not one of the three in two variables, whichever of them the arguments have."""
    g = c.Builder(2)
    x = g.input()
    for output in (g.op("maximum", x[0], x[1]), g.op("relu", x[0] + x[1]), g.norm(x), g.op("maximum", x[0], -x[0])):
        jet = jet_of(g.output(output), np.array([-1.0, 0.0]), np.array([0.0, 0.0]), 2)
        assert not (np.isfinite(jet.lo[3:]) | np.isfinite(jet.hi[3:])).any()


SWITCHES: dict[str, Callable[[c.Builder, c.Node], c.Node]] = {
    "between constants": lambda g, x: g.op("select", x[0], g.constant([2.0]), g.constant([-1.0])),
    "between functions": lambda g, x: g.op("select", x[0], x[1] + g.constant([2.0]), g.constant([-1.0])),
    "that never decides": lambda g, x: g.op("select", g.constant([-0.0]), g.constant([2.0]), g.constant([-1.0])),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_touched_switch_has_both_values_and_no_bounded_derivative(name: str) -> None:
    g = c.Builder(2)
    graph = g.output(SWITCHES[name](g, g.input()))
    for lo, hi in (([-1.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, 0.0]), ([-0.0, 0.0], [0.0, 0.0])):
        jet = jet_of(graph, np.array(lo), np.array(hi), 2)
        assert jet.lo[0] <= -1 and jet.hi[0] >= 2
        assert not (np.isfinite(jet.lo[1:]) | np.isfinite(jet.hi[1:])).any()


def test_an_untouched_switch_is_one_branch_alone_whatever_the_other_is() -> None:
    g = c.Builder(1)
    x = g.input()
    graph = g.output(g.op("select", x, g.op("log", x), g.op("sqrt", -x)))
    for lo, hi, value, slope in ((1.0, 1.0, 0.0, 1.0), (-4.0, -4.0, 2.0, -0.25)):
        jet = jet_of(graph, np.array([lo]), np.array([hi]), 1)
        assert np.allclose(jet.lo, [value, slope]) and np.allclose(jet.hi, [value, slope])
    assert np.isnan(jet_of(graph, np.array([-1.0]), np.array([1.0]), 1).lo).all()


def test_a_switch_between_one_node_and_itself_is_no_switch() -> None:
    g = c.Builder(1)
    x = g.input()
    y = g.op("sin", x)
    jet = jet_of(g.output(g.op("select", x, y, y)), np.array([-0.1]), np.array([0.1]), 2)
    assert np.array_equal(jet.hi, jet_of(g.output(y), np.array([-0.1]), np.array([0.1]), 2).hi)
    undefined = jet_of(g.output(g.op("select", g.op("log", x), y, y)), np.array([-0.1]), np.array([0.1]), 1)
    assert np.isnan(undefined.lo).all() and np.isnan(undefined.hi).all()


@pytest.mark.parametrize("operation", ["sqrt", "log"])
@pytest.mark.parametrize("lower", [0.0, -0.0, -5e-324, -1.0])
def test_roots_and_logarithms_that_touch_zero_have_no_bounded_derivative(operation: str, lower: float) -> None:
    g = c.Builder(1)
    graph = g.output(g.op(operation, g.input()))
    jet = jet_of(graph, np.array([lower]), np.array([1.0]), 2)
    assert not (np.isfinite(jet.lo[1:]) | np.isfinite(jet.hi[1:])).any()
    assert np.isnan(jet.lo[0]) == (operation == "log" or lower < 0)
    assert np.isfinite(jet_of(graph, np.array([5e-324]), np.array([1.0]), 1).lo[0])


@pytest.mark.parametrize("bad", ["log", "sqrt", "div"])
def test_what_is_undefined_everywhere_has_no_derivatives_either(bad: str) -> None:
    """x + log(-1) has the derivative of x by the rules, but it is no function at all."""
    g = c.Builder(1)
    x, negative = g.input(), g.constant([-1.0])
    undefined = negative / g.constant([0.0]) if bad == "div" else g.op(bad, negative)
    for term in (
        undefined,
        g.op("relu", undefined),
        g.op("atan", undefined),
        g.norm(undefined),
        g.constant([0.0]) * undefined,
    ):
        jet = jet_of(g.output(x + term), np.array([0.0]), np.array([1.0]), 2)
        assert np.isnan(jet.lo).all() and np.isnan(jet.hi).all()


def test_a_norm_that_touches_zero_has_its_unit_ball_of_gradients() -> None:
    g = c.Builder(2)
    graph = g.output(g.norm(g.input()))
    at_zero, beside = (jet_of(graph, np.array([lo, 0.0]), np.array([1.0, 0.0]), 1) for lo in (0.0, 0.5))
    assert (
        at_zero.lo[0] == 0 and (np.abs(at_zero.lo[1:] + 1) < 1e-12).all() and (np.abs(at_zero.hi[1:] - 1) < 1e-12).all()
    )
    assert beside.lo[0] == pytest.approx(0.5) and beside.lo[1] == pytest.approx(0.5) and abs(beside.hi[2]) < 1e-290
