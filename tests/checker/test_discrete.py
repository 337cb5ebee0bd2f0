"""Discrete time: a next state lies in the box, at the right level, for all disturbances and both sides of a switch."""

from __future__ import annotations

from fractions import Fraction

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.maps import step

LINE = ([-1.0], [1.0])
SQUARE = ([-1.0, -1.0], [1.0, 1.0])
V1 = p.graph(1, lambda g, x: g.op("square", x))


def report(data: Content, **graphs: Content) -> CheckReport:
    return check_bytes(c.changed(data, lambda d: d["graphs"].update(graphs)))


def halving(kappa: float = 0.5, level: float = 0.75, inner: float = 0.125) -> Content:
    """x+ = x / 2, V = x^2."""
    return p.discrete(V1, c.linear_field(np.array([[0.5]])), LINE, kappa, level, inner)


def switched(above: float, value: float) -> Content:
    """x / 2, but `value` beyond a threshold."""
    return p.graph(1, lambda g, x: g.op(
        "select", x - g.constant([above]), g.constant([value]), g.linear([[0.5]], x)))  # fmt: skip


@pytest.mark.parametrize(("value", "true"), [(0.0, True), (0.25, True), (0.9, False), (2.0, False), (-2.0, False)])
def test_a_switch_at_the_edge_of_the_set_takes_both_values(value: float, true: bool) -> None:
    """S = {|x| <= 0.866}: the switch is at 0.8."""
    assert report(halving(), F=switched(0.8, value)).ok == true


@pytest.mark.parametrize(("value", "true"), [(0.0, True), (-0.2, True), (0.3, False), (2.0, False)])
def test_a_jump_of_rounding_at_the_edge_of_the_set_takes_both_values(value: float, true: bool) -> None:
    """x / 2, and more by `value` for x >= 0.8, where floor(x + 0.2) jumps."""

    def build(g: c.Builder, x: c.Node) -> c.Node:
        whole = g.op("relu", g.op("floor", x + g.constant([0.2])))
        return g.linear([[0.5]], x) + g.constant([value]) * whole

    assert report(halving(), F=p.graph(1, build)).ok == true


def test_a_next_state_outside_the_box_is_refused_although_V_is_small_there() -> None:
    """V = x^2 (x^2 - 4)^2 vanishes at 2; x+ = 2 beyond 0.6."""

    def build(g: c.Builder, x: c.Node) -> c.Node:
        return g.op("square", x * (g.op("square", x) - g.constant([4.0])))

    V = p.graph(1, build)
    data = p.discrete(V, c.linear_field(np.array([[0.25]])), LINE, 0.5, 6.0, 0.125)
    assert report(data).ok
    found = report(data, F=switched(0.3, 2.0))
    assert found.status == "rejected" and "F in X" in found.reason
    bounded = p.discrete_ultimate(V, c.linear_field(np.array([[0.25]])), LINE, (1.0, 6.0))
    assert report(bounded).ok
    assert "F in X" in report(bounded, F=switched(0.3, 2.0)).reason


def test_a_next_state_on_the_boundary_of_the_box_is_inside() -> None:
    """x+ = 1 beyond 1/2: in the closed box [-1, 1], and not in [-1, 1)."""
    box, one = Interval(np.array([[0.6]]), np.array([[0.9]])), Interval(np.ones(1), np.ones(1))
    F = Evaluator(read_graph(switched(0.5, 1.0), 1, "F"), 1)
    found = step(Evaluator(read_graph(V1, 1, "V"), 1), F, box, one, one)
    assert found.inside(Interval(-np.ones(1), np.ones(1))).proved.all()
    assert found.inside(Interval(-np.ones(1), np.nextafter(np.ones(1), 0))).refuted.all()


@pytest.mark.parametrize(("kappa", "true"), [("3/4", False), ("749/1000", True), ("751/1000", False), ("1", False)])
def test_the_rate_in_discrete_time_is_sharp(kappa: str, true: bool) -> None:
    """V = x^2 and x+ = x / 2: V(x+) = V / 4."""
    found = check_bytes(c.changed(halving(), lambda d: d["statement"].update(kappa=kappa)))
    assert found.ok == true


def test_what_is_wrong_inside_R_alone_is_found() -> None:
    """x+ = x / 2 but 2 x near 0; and a fixed point that is one only to 1e-17."""

    def near(g: c.Builder, x: c.Node) -> c.Node:
        bump = g.op("exp", g.linear([[-4000.0]], g.op("square", x)))
        return x * (g.constant([0.5]) + g.linear([[1.5]], bump))

    found = report(halving(), F=p.graph(1, near))
    assert found.status == "rejected" and "positive definite" in found.reason
    moved = p.graph(1, lambda g, x: g.linear([[0.5]], x) + g.constant([1e-17]))
    assert "F - x* is not identically zero" in report(halving(), F=moved).reason


def test_R_must_be_mapped_into_the_box() -> None:
    """x+ = 2 for x > 0.1, a switch within R."""
    found = report(halving(), F=switched(0.1, 2.0))
    assert found.status == "rejected" and "R" in found.reason


def test_a_fixed_point_for_every_disturbance() -> None:
    """x+ = x / 2 + d^2 x / 4 keeps 0 fixed for all d; with + d (1e-30) it does not."""

    def build(g: c.Builder, z: c.Node, gain: float) -> c.Node:
        product = z[0] * g.op("square", z[1])
        return g.linear([[0.5]], z[0]) + g.linear([[0.25]], product) + g.linear([[gain]], z[1])

    true, false = (p.graph(2, lambda g, z, gain=gain: build(g, z, gain)) for gain in (0.0, 1e-30))
    data = p.discrete(V1, true, LINE, 0.25, 0.75, 0.125, LINE)
    assert report(data).ok
    assert "F - x* is not identically zero" in report(data, F=false).reason


def test_the_disturbance_is_bisected_at_the_equilibrium() -> None:
    """x+ = 0.85 (x turned by the angle d): the hull of these matrices over all d is no contraction, in parts it is."""
    J = np.array([[0.0, 1.0], [-1.0, 0.0]])

    def build(g: c.Builder, z: c.Node) -> c.Node:
        x, d = z[[0, 1]], g.linear(np.ones((2, 1)), z[2])
        return g.linear(0.85 * np.eye(2), g.op("cos", d) * x + g.op("sin", d) * g.linear(J, x))

    V = c.quadratic(np.eye(2))
    data = p.discrete(V, p.graph(3, build), SQUARE, 0.01, 0.9, 0.25, ([-3.0], [3.0]))
    found = report(data)
    assert found.ok, found.reason


@pytest.mark.parametrize("seed", range(30))
def test_steps_are_enclosed(seed: int) -> None:
    """V, w = V / 2 - V(F) + 1 and F at samples lie in their enclosures, kinks and disturbances included."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 3)), int(rng.integers(0, 3))
    V = c.random_graph(n, seed, c.UNARY + c.BINARY)
    W, b = rng.normal(size=(n, n + k)), rng.normal(size=n)
    F = p.graph(n + k, lambda g, z: g.op("abs", g.op("tanh", g.linear(W, z) + g.constant(b))))
    lo = rng.uniform(-1, 1, n + k)
    hi = lo + rng.choice([0.0, 1e-4, 0.1, 0.5], n + k)
    z = rng.uniform(lo, hi, (2000, n + k))
    half, one = (Interval.of([Fraction(v)]) for v in ("1/2", "1"))
    evaluators = Evaluator(read_graph(V, n, "V"), n), Evaluator(read_graph(F, n + k, "F"), n + k)
    found = step(*evaluators, Interval(lo[None], hi[None]), half, one)
    y, v = c.evaluate(F, z), c.evaluate(V, z[:, :n])[:, 0]
    w = 1 + v / 2 - c.evaluate(V, y)[:, 0]
    slack = 1e-9 * (1 + np.abs(w).max())
    for enclosure, values in ((found.V.value, v), (found.w.value, w)):
        assert not (values.min() < enclosure.lo[0] - slack or values.max() > enclosure.hi[0] + slack)
    assert (y >= found.next.lo - slack).all() and (y <= found.next.hi + slack).all()
