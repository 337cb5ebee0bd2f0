"""The test of a leaf, from both sides: what is proved holds at samples, what is barely false is not proved."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import certificates as c
import numpy as np
import pytest

from ctrlnet.checker.enclosures import above, decrease
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator


def ready(graph: dict[str, Any], n: int) -> Evaluator:
    return Evaluator(read_graph(graph, n, "f"), n)


def positive_function(n: int, seed: int, names: list[str]) -> dict[str, Any]:
    """A random function, squared, plus 1."""
    graph = c.random_graph(n, seed, names)
    at = len(graph["nodes"])
    graph["nodes"] += [["square", [at - 1], None], ["constant", [], c.array([1.0])], ["add", [at, at + 1], None]]
    return {**graph, "output": at + 2}


def random_field(n: int, seed: int) -> dict[str, Any]:
    """n random functions with kinks, joined."""
    nodes: list[Any] = []
    outputs = []
    for k in range(n):
        graph = c.random_graph(n, 100 * seed + k, c.UNARY + c.BINARY)
        shift = len(nodes)
        for operation, ids, attribute in graph["nodes"]:
            if operation == "input" and shift:
                nodes.append(["take", [0], list(range(n))])
            else:
                nodes.append([operation, [i + shift for i in ids], attribute])
        outputs.append(graph["output"] + shift)
    return {"nodes": [*nodes, ["concatenate", outputs, None]], "output": len(nodes)}


@pytest.mark.parametrize("names", [c.SMOOTH, c.UNARY + c.BINARY], ids=["smooth V", "kinks in V"])
@pytest.mark.parametrize("seed", range(25))
def test_decrease_is_proved_exactly_where_it_holds(seed: int, names: list[str]) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    V, F = positive_function(n, seed, names), random_field(n, seed)
    lo = rng.uniform(-1, 1, n)
    hi = lo + rng.choice([1e-6, 1e-3, 0.05], n)
    x = rng.uniform(lo, hi, (3000, n))
    v, slope = c.evaluate(V, x)[:, 0], (c.gradient(V, x, 1e-7) * c.evaluate(F, x)).sum(1)
    best = -(slope / v).max()  # the largest rate that the samples allow
    spread = np.ptp(slope / v) + 1e-4 * (1 + abs(best))
    box = Interval(lo[None], hi[None])
    evaluators = ready(V, n), ready(F, n)
    false = decrease(*evaluators, box, Interval.of([Fraction(best + 1e-4 * (1 + abs(best)))]))
    true = decrease(*evaluators, box, Interval.of([Fraction(best - 20 * spread)]))
    assert not false.proved[0] and not true.refuted[0]
    if names is c.SMOOTH and (hi - lo).max() < 1e-2:
        assert true.proved[0] or np.abs(slope).max() > 1e3


@pytest.mark.parametrize("seed", range(40))
def test_levels_are_exceeded_exactly_where_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    graph = c.random_graph(n, seed, c.UNARY + c.BINARY)
    lo = rng.uniform(-1, 1, n)
    hi = lo + rng.choice([0.0, 1e-3, 0.1], n)
    values = c.evaluate(graph, rng.uniform(lo, hi, (2000, n)))[:, 0]
    slack = 1e-9 * (1 + np.abs(values).max())
    box, f = Interval(lo[None], hi[None]), ready(graph, n)
    high = above(f, box, Interval.of([Fraction(values.min() + slack)]))
    low = above(f, box, Interval.of([Fraction(values.min() - 20 * (np.ptp(values) + slack))]))
    everywhere = above(f, box, Interval.of([Fraction(values.max() + 100 * (np.ptp(values) + slack))]))
    assert not high.proved[0] and not low.refuted[0]
    assert everywhere.refuted[0]


@pytest.mark.parametrize(("lower", "proved"), [(-0.1, False), (0.0, False), (0.01, True)])
def test_decrease_alone_is_not_enough_where_V_is_not_positive(lower: float, proved: bool) -> None:
    """V = relu(x) + x on [lower, 1] and F = -5, so that G = -5 V' + V < 0 everywhere."""
    v, f = c.Builder(1), c.Builder(1)
    x = v.input()
    evaluators = ready(v.output(v.op("relu", x) + x), 1), ready(f.output(f.constant([-5.0])), 1)
    outcome = decrease(*evaluators, Interval(np.array([[lower]]), np.array([[1.0]])), Interval.of([Fraction(1)]))
    assert outcome.proved[0] == proved and not outcome.refuted[0]


@pytest.mark.parametrize("seed", range(120))
def test_the_expansion_of_quadratics_on_wide_boxes_is_sharp(seed: int) -> None:
    """V = x^2 + p x + q and F = k x + l on an interval: the largest rate is known, no larger one is proved."""
    rng = np.random.default_rng(seed)
    p, q, k, l = rng.normal(size=4) * [2, 0, 1, 1] + [0, 20, 0, 0]
    lo = rng.uniform(-2, 1)
    hi = lo + rng.uniform(0.1, 2)
    v, f = c.Builder(1), c.Builder(1)
    x, y = v.input(), f.input()
    V = v.output(v.op("square", x) + v.linear(np.array([[p]]), x) + v.constant([q]))
    F = f.output(f.linear(np.array([[k]]), y) + f.constant([l]))
    dense = np.linspace(lo, hi, 20001)
    best = -((2 * dense + p) * (k * dense + l) / (dense**2 + p * dense + q)).max()
    box, evaluators = Interval(np.array([[lo]]), np.array([[hi]])), (ready(V, 1), ready(F, 1))
    for rate, allowed in ((best + 1e-6, False), (best - 3, True)):
        assert bool(decrease(*evaluators, box, Interval.of([Fraction(rate)])).proved[0]) == allowed
