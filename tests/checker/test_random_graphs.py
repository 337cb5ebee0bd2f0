"""Random graphs of every primitive: jets contain the exact value, gradient and Hessian at every point of the box."""

from __future__ import annotations

import random
from typing import Any

import certificates as c
import mpmath
import numpy as np
import pytest
import taylor
from flint import arb
from prover import oracle
from random_graphs import random_box, random_graph, random_points

from ctrlnet.checker.balls import ball_elementary
from ctrlnet.checker.functions import Elementary, numpy_elementary
from ctrlnet.checker.graph import ARITY, read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.graph.primitives import PRIMITIVES
from ctrlnet.prover.certificate import graph_document

MODES = {"numpy": numpy_elementary, "balls": ball_elementary}


def along(jet: Interval, q: list[float]) -> list[tuple[arb, arb]]:
    """Bounds of g(0), g'(0), g''(0) for the direction q from a jet (K,) of order 2."""
    n = len(q)
    pairs = [(i, i, 1) for i in range(n)] + [(i, j, 2) for i in range(n) for j in range(i + 1, n)]
    factors = [[(0, 1.0)], [(1 + i, q[i]) for i in range(n)]]
    factors.append([(1 + n + row, times * q[i] * q[j]) for row, (i, j, times) in enumerate(pairs)])
    lo, hi = jet.lo.tolist(), jet.hi.tolist()
    return [
        (
            sum((arb(lo[r] if w > 0 else hi[r]) * w for r, w in terms if w), arb(0)),
            sum((arb(hi[r] if w > 0 else lo[r]) * w for r, w in terms if w), arb(0)),
        )
        for terms in factors
    ]


def contained(jet: Interval, graph: dict[str, Any], state: list[Any], q: list[float], seed: int) -> int:
    """How many of value, first and second derivative have finite bounds; all must hold."""
    exact = taylor.derivatives(taylor.evaluate(graph, state, seed)[0])
    finite = 0
    for (low, high), value in zip(along(jet, q), exact, strict=True):
        assert not value < low and not value > high, (value, low, high)
        finite += low.is_finite() and high.is_finite()
    return finite


def checked(seed: int, elementary: Elementary) -> list[int]:
    """For one random graph and box, how many bounds at each sample were finite."""
    draw = random.Random(seed)
    n = draw.randint(1, 6)
    graph, box = random_graph(draw, n), random_box(draw, n)
    jet = Evaluator(read_graph(graph, n, "f"), n, elementary)(box, 2)[:, 0, 0]
    found = []
    with taylor.precise():
        for k, point in enumerate(random_points(draw, box, 3)):
            q = [float(draw.choice((-1, 0, 1, 2))) for _ in range(n)]
            found.append(contained(jet, graph, taylor.line(point, q), q, k))
    return found


def test_prover_and_checker_know_the_same_primitives() -> None:
    assert set(ARITY) == {name for name, primitive in PRIMITIVES.items() if primitive.certificate}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("block", range(8))
def test_jets_contain_exact_derivatives(block: int, mode: str) -> None:
    found = [k for seed in range(40 * block, 40 * block + 40) for k in checked(seed, MODES[mode])]
    assert sum(k == 3 for k in found) > 0.3 * len(found)


@pytest.mark.slow
def test_jets_contain_exact_derivatives_of_many_graphs() -> None:
    for seed in range(1000, 9000):
        checked(seed, numpy_elementary)


@pytest.mark.slow
def test_jets_contain_the_exact_values_of_graphs_the_prover_draws() -> None:
    """The random graphs on which the prover's bounds are tested, written as a certificate writes them."""
    finite = [agrees(seed) for seed in range(10_000)]
    assert sum(finite) > 0.3 * len(finite)


def agrees(seed: int) -> bool:
    """Value rows of one graph against its 60 digits at three points; whether the bounds were finite."""
    graph, output = oracle.random_graph(seed)
    draw, n = random.Random(seed), graph.size(graph.input)
    box = random_box(draw, n)
    held = read_graph(graph_document(graph, output), n, "f")
    jet = Evaluator(held, n)(box, 2)[:, 0, 0]
    for point in random_points(draw, box, 3):
        exact = oracle.exact_value(graph, output, point)[0]
        assert not exact < mpmath.mpf(jet.lo[0]) and not exact > mpmath.mpf(jet.hi[0]), (seed, point)
    return bool(np.isfinite(jet.lo[0]) and np.isfinite(jet.hi[0]))


@pytest.mark.parametrize("block", range(4))
def test_jets_contain_the_exact_values_of_some_graphs_the_prover_draws(block: int) -> None:
    assert sum([agrees(seed) for seed in range(10_000 + 40 * block, 10_040 + 40 * block)]) > 10


@pytest.mark.parametrize("seed", range(40))
def test_composed_graphs_have_the_derivatives_of_the_composition(seed: int) -> None:
    """V(F(z)) with F of more variables than V: values, gradients and Hessians with respect to all of them."""
    draw = random.Random(seed)
    n, N = draw.randint(1, 3), draw.randint(1, 4)
    outer, box = random_graph(draw, n), random_box(draw, N)
    inner = [random_graph(draw, N) for _ in range(n)]
    parts = [Evaluator(read_graph(f, N, "F"), N)(box, 2) for f in inner]
    state = Interval(np.concatenate([p.lo for p in parts], 2), np.concatenate([p.hi for p in parts], 2))
    jet = Evaluator(read_graph(outer, n, "V"), n)(box, 2, state)[:, 0, 0]
    with taylor.precise():
        for k, point in enumerate(random_points(draw, box, 3)):
            q = [float(draw.choice((-1, 0, 1, 2))) for _ in range(N)]
            there = [taylor.evaluate(f, taylor.line(point, q), k)[0] for f in inner]
            contained(jet, outer, there, q, k)


def test_a_graph_of_the_state_alone_uses_the_first_variables() -> None:
    draw = random.Random(0)
    graph, box = c.random_graph(2, 0, c.SMOOTH), random_box(draw, 4)
    V = Evaluator(read_graph(graph, 2, "V"), 2)
    small, large = V(box[:, :2], 2), V(box, 2)
    rows = [0, 1, 2, 5, 6, 9]  # of the value, d_1, d_2, d_11, d_22, d_12 among the fifteen rows in four variables
    assert np.array_equal(large.lo[rows], small.lo) and np.array_equal(large.hi[rows], small.hi)
    others = [r for r in range(15) if r not in rows]
    assert (np.abs(large.lo[others]) < 1e-290).all() and (np.abs(large.hi[others]) < 1e-290).all()


def test_jets_that_do_not_fit_are_refused() -> None:
    V, F = (Evaluator(read_graph(g, 2, "f"), 2) for g in (c.quadratic(np.eye(2)), c.linear_field(np.eye(2))))
    box = Interval(np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="6 rows"):
        V(box, 2, F(box, 1))
    with pytest.raises(ValueError, match="2 inputs"):
        V(box[:, :1], 0)
