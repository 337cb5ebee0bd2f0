"""The clause at the equilibrium: what goes wrong only inside R is found there."""

from __future__ import annotations

from fractions import Fraction

import certificates as c
import numpy as np
import proofs as p
import pytest

from ctrlnet.checker import check_bytes
from ctrlnet.checker.equilibrium import flow, halved, neighbourhood
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import NONE

SPIRAL = c.spiral()
RATE = Interval.of([Fraction(1)])
R = Interval(np.full((1, 2), -0.125), np.full((1, 2), 0.125))


def near(g: c.Builder, x: c.Node, gain: float) -> c.Node:
    """1 - gain exp(-4000 |x|^2)."""
    bump = g.op("exp", g.linear(np.array([[-4000.0]]), g.sum(g.op("square", x))))
    return g.constant([1.0]) - g.linear(np.array([[gain]]), bump)


def test_instability_inside_R_is_found() -> None:
    """x' = -x (1 - 2 exp(-4000 |x|^2)) is unstable at 0 and stable farther than 1/50 from it."""
    g = c.Builder(2)
    x = g.input()
    F = g.output(-x * g.linear(np.ones((2, 1)), near(g, x, 2.0)))
    found = check_bytes(c.changed(SPIRAL, lambda d: d["graphs"].update(F=F)))
    assert found.status == "rejected" and "negative definite" in found.reason
    assert check_bytes(c.changed(SPIRAL, lambda d: d["graphs"].update(F=c.linear_field(-np.eye(2))))).ok


def test_a_V_tilted_at_the_equilibrium_is_found() -> None:
    """V = |x|^2 + 1e-9 x1 is negative beside 0, where its gradient is 1e-9."""
    g = c.Builder(2)
    x = g.input()
    V = g.output(g.sum(g.op("square", x)) + g.linear(np.array([[1e-9]]), x[0]))
    found = check_bytes(c.changed(SPIRAL, lambda d: d["graphs"].update(V=V)))
    assert found.status == "rejected" and "grad V is not identically zero" in found.reason


def evaluator(graph: object) -> Evaluator:
    return Evaluator(read_graph(graph, 2, "f"), 2)


def negative() -> dict:
    g = c.Builder(2)
    return g.output(-g.sum(g.op("square", g.input())))


def test_V_must_be_positive_and_decrease() -> None:
    V, rising, falling = c.quadratic(np.eye(2)), c.linear_field(np.eye(2)), c.linear_field(-np.eye(2))
    flow(evaluator(V), evaluator(falling), R, NONE, RATE)
    with pytest.raises(Rejected, match="negative definite"):
        flow(evaluator(V), evaluator(rising), R, NONE, RATE)
    with pytest.raises(Rejected, match="positive definite"):
        flow(evaluator(negative()), evaluator(rising), R, NONE, RATE)


@pytest.mark.parametrize(("gain", "holds"), [(0.4999999, False), (0.5, False), (0.5000001, True)])
def test_the_rate_at_the_equilibrium_is_sharp(gain: float, holds: bool) -> None:
    """V = |x|^2 and x' = -gain x decay at the rate 2 gain."""
    parts = evaluator(c.quadratic(np.eye(2))), evaluator(c.linear_field(-gain * np.eye(2)))
    if holds:
        flow(*parts, R, NONE, RATE)
    else:
        with pytest.raises(Rejected):
            flow(*parts, R, NONE, RATE)


@pytest.mark.parametrize(
    "at", [["1/4", "0"], ["0", "1/4"], ["-1/4", "1/4"], ["1125899906842625/9007199254740992", "0"]]
)
def test_R_must_contain_the_equilibrium_exactly(at: list[str]) -> None:
    corners, bound = {"lower": c.numbers([-0.125] * 2), "upper": c.numbers([0.125] * 2)}, np.ones(2)
    neighbourhood(corners, [Fraction(1, 8), Fraction(-1, 8)], -bound, bound)
    with pytest.raises(Rejected, match="does not lie in the box R"):
        neighbourhood(corners, [Fraction(v) for v in at], -bound, bound)


LINE = ([-1.0], [1.0])


def damped(gain: float) -> dict:
    """x' = -x + gain d with d in [-1, 1]; and d x^2, which vanishes at 0 for all d."""
    return p.graph(2, lambda g, z: z[1] * g.op("square", z[0]) - z[0] + g.linear(np.array([[gain]]), z[1]))


def test_an_equilibrium_for_every_disturbance() -> None:
    V = p.graph(1, lambda g, x: g.op("square", x))
    data = p.robust(V, damped(0.0), LINE, 0.1, 0.5, 0.125, LINE)
    found = check_bytes(c.sealed(data))
    assert found.ok and "F(x*, d) = 0" in found.statement, found.reason
    moved = check_bytes(c.changed(data, lambda d: d["graphs"].update(F=damped(1e-30))))
    assert moved.status == "rejected" and "F is not identically zero" in moved.reason


def test_leaves_of_the_equilibrium_lie_in_R_whatever_the_disturbance() -> None:
    """One leaf 'e' that reaches beyond R for one half of D."""
    V = p.graph(1, lambda g, x: g.op("square", x))
    data = p.robust(V, damped(0.0), LINE, 0.1, 0.5, 0.125, LINE)
    data["proof"]["interior"] = "Be" + data["proof"]["interior"]
    found = check_bytes(c.sealed(data))
    assert found.status == "rejected" and "leaf of kind 'e'" in found.reason


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_parts_of_the_disturbance_cover_it(k: int) -> None:
    D = Interval(np.full((1, k), -1.0), np.arange(1.0, k + 1)[None])
    parts = list(halved(D))
    points = np.random.default_rng(k).uniform(D.lo, D.hi, (500, k))
    inside = [((part.lo <= points) & (points <= part.hi)).all(1) for part in parts]
    assert len(parts) == 64 and np.any(inside, axis=0).all()
    assert all((part.lo >= D.lo).all() and (part.hi <= D.hi).all() for part in parts)


def cone(kind: str, gain: float) -> dict:
    """V = |x| and x' = -gain x, or x+ = gain x, on [-1, 1], with rays from 0."""
    V = p.graph(1, lambda g, x: g.op("abs", x))
    F = c.linear_field(np.array([[-gain if kind == "continuous" else gain]]))
    if kind == "continuous":
        data = p.robust(V, F, LINE, 0.5, 0.75, 0.125, p.NONE)
    else:
        data = p.discrete(V, F, LINE, 0.5, 0.75, 0.125)
    data["proof"]["equilibrium"]["rays"] = [["p", "p"]]
    return data


@pytest.mark.parametrize(("kind", "gain", "true"), [
    ("continuous", 0.51, True), ("continuous", 0.49, False), ("discrete", 0.49, True), ("discrete", 0.51, False),
])  # fmt: skip
def test_a_kink_of_V_at_the_equilibrium_needs_rays(kind: str, gain: float, true: bool) -> None:
    data = cone(kind, gain)
    found = check_bytes(c.sealed(data))
    assert found.ok == true, found.reason
    del data["proof"]["equilibrium"]["rays"]
    assert not check_bytes(c.sealed(data)).ok
    data["proof"]["equilibrium"]["rays"] = [["p"]]
    assert not check_bytes(c.sealed(data)).ok
