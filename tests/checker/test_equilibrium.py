"""The clause at the equilibrium: what goes wrong only inside R is found there."""

from __future__ import annotations

from fractions import Fraction

import certificates as c
import numpy as np
import pytest

from ctrlnet.checker import check_bytes
from ctrlnet.checker.equilibrium import local, neighbourhood
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected

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
    local(evaluator(V), evaluator(falling), R, RATE)
    with pytest.raises(Rejected, match="negative definite"):
        local(evaluator(V), evaluator(rising), R, RATE)
    with pytest.raises(Rejected, match="positive definite"):
        local(evaluator(negative()), evaluator(rising), R, RATE)


@pytest.mark.parametrize(("gain", "holds"), [(0.4999999, False), (0.5, False), (0.5000001, True)])
def test_the_rate_at_the_equilibrium_is_sharp(gain: float, holds: bool) -> None:
    """V = |x|^2 and x' = -gain x decay at the rate 2 gain."""
    parts = evaluator(c.quadratic(np.eye(2))), evaluator(c.linear_field(-gain * np.eye(2)))
    if holds:
        local(*parts, R, RATE)
    else:
        with pytest.raises(Rejected):
            local(*parts, R, RATE)


@pytest.mark.parametrize(
    "at", [["1/4", "0"], ["0", "1/4"], ["-1/4", "1/4"], ["1125899906842625/9007199254740992", "0"]]
)
def test_R_must_contain_the_equilibrium_exactly(at: list[str]) -> None:
    corners, bound = {"lower": c.numbers([-0.125] * 2), "upper": c.numbers([0.125] * 2)}, np.ones(2)
    neighbourhood(corners, [Fraction(1, 8), Fraction(-1, 8)], -bound, bound)
    with pytest.raises(Rejected, match="does not lie in the box R"):
        neighbourhood(corners, [Fraction(v) for v in at], -bound, bound)
