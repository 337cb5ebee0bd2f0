"""Runge-Kutta methods: order conditions tree by tree, stability, errors on the pendulum, evaluations."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement

import ctrlnet_plugins.integrators as plugins
import pytest
import torch
from ctrlnet_plugins.integrators import RK4, RK38, Bosh3, Dopri5, Dopri8, Euler, Heun, Midpoint, Ralston, Tsit5
from marches import X0, error, limit, march, pendulum, radius, slopes, swung

METHODS = {
    "euler": (Euler, 1),
    "midpoint": (Midpoint, 2),
    "heun": (Heun, 2),
    "ralston": (Ralston, 2),
    "bosh3": (Bosh3, 3),
    "rk4": (RK4, 4),
    "rk38": (RK38, 4),
    "dopri5": (Dopri5, 5),
    "tsit5": (Tsit5, 5),
    "dopri8": (Dopri8, 8),
}
EMBEDDED = {"bosh3": (Bosh3, 2), "dopri5": (Dopri5, 4), "tsit5": (Tsit5, 4), "dopri8": (Dopri8, 7)}


@cache
def trees(order):
    """All rooted trees with that many nodes."""
    return list(dict.fromkeys(forest for forest in forests(order - 1, order - 1)))


@cache
def forests(nodes, largest):
    """Multisets of trees with so many nodes in all, each tree of at most `largest`."""
    if nodes == 0:
        return [()]
    found = []
    for size in range(min(nodes, largest), 0, -1):
        for count in range(1, nodes // size + 1):
            for these in combinations_with_replacement(trees(size), count):
                found += [these + rest for rest in forests(nodes - size * count, size - 1)]
    return found


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * math.prod(map(density, tree))


def weights(tree, a):
    """Φ_i of the elementary weight of a tree, one entry a stage."""
    product = torch.ones(len(a), dtype=torch.float64)
    for branch in tree:
        product = product * (a @ weights(branch, a))
    return product


def matrix(tableau):
    rows = [[*map(float, row), *[0.0] * (len(tableau.b) - len(row))] for row in tableau.a]
    return torch.tensor(rows, dtype=torch.float64)


def defect(tableau, b, order, theta=1.0):
    """Largest violation of the order conditions  Σ b_i Φ_i(tree) = θ^order / γ(tree)  of the trees of one order."""
    a, b = matrix(tableau), torch.tensor([float(weight) for weight in b], dtype=torch.float64)
    return max(abs(float(b @ weights(tree, a)) - theta**order / density(tree)) for tree in trees(order))


def test_trees_are_counted():
    assert [len(trees(order)) for order in range(1, 10)] == [1, 1, 2, 4, 9, 20, 48, 115, 286]


@pytest.mark.parametrize("name", METHODS)
def test_order_conditions(name):
    """Every tree up to the order, and not every one of the next."""
    method, order = METHODS[name]
    assert method.order == method.tableau.order == order
    assert max(defect(method.tableau, method.tableau.b, p) for p in range(1, order + 1)) < 1e-13
    assert defect(method.tableau, method.tableau.b, order + 1) > 1e-8


@pytest.mark.parametrize("name", EMBEDDED)
def test_order_conditions_of_the_embedded_solution(name):
    method, order = EMBEDDED[name]
    assert method.embedded_order == order
    assert max(defect(method.tableau, method.tableau.b_low, p) for p in range(1, order + 1)) < 1e-13
    assert defect(method.tableau, method.tableau.b_low, order + 1) > 1e-6


@pytest.mark.parametrize("method", [Dopri5, Tsit5])
@pytest.mark.parametrize("theta", [0.2, 0.5, 0.77])
def test_order_conditions_of_dense_output(method, theta):
    """The interpolant is a solution of order 4 at every θ."""
    b = [sum(d * theta**j for j, d in enumerate(row, 1)) for row in method.tableau.dense]
    assert max(defect(method.tableau, b, p, theta) for p in range(1, 5)) < 2e-14
    assert defect(method.tableau, b, 5, theta) > 1e-6


def test_only_embedded_methods_estimate_their_error():
    plain = {"euler", "midpoint", "heun", "ralston", "rk4", "rk38"}
    assert all(METHODS[name][0].embedded_order is None for name in plain)
    assert set(METHODS) - plain == set(EMBEDDED)


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("euler", 1.1e-2),
        ("midpoint", 3.8e-5),
        ("heun", 3.1e-5),
        ("rk4", 2.8e-10),
        ("rk38", 2.7e-10),
        ("dopri5", 7.5e-14),
        ("tsit5", 6e-15),
    ],
)
def test_error_on_the_pendulum_at_a_step_of_one_eightieth(name, measured):
    assert measured / 2 < error(METHODS[name][0], 1 / 80) < 2 * measured


@pytest.mark.parametrize("name", METHODS)
def test_observed_order_on_the_pendulum(name):
    method, order = METHODS[name]
    steps = {5: [0.2, 0.1, 0.05], 8: [0.4, 0.2]}.get(order, [1 / 20, 1 / 40, 1 / 80])
    found = slopes(method, steps)
    assert min(found) > order - 0.1, found
    # that of Tsit5 and Dopri8 is higher than claimed before rounding is reached
    assert max(found) < order + (0.1 if order < 5 else 0.9), found


@pytest.mark.parametrize(
    ("name", "real", "imaginary"),
    [
        ("euler", 2, 0),
        ("midpoint", 2, 0),
        ("heun", 2, 0),
        ("ralston", 2, 0),
        ("bosh3", 2.513, 1.732),
        ("rk4", 2.785, 2.828),
        ("rk38", 2.785, 2.828),
        ("dopri5", 3.306, 0.997),
        ("tsit5", 3.507, 0.478),
    ],
)
def test_stability_limits(name, real, imaginary):
    method, _ = METHODS[name]
    assert math.isclose(limit(method, -1), real, abs_tol=1e-3)
    if imaginary:
        assert math.isclose(limit(method, 1j), imaginary, abs_tol=1e-3)
    else:  # |R(iy)| - 1 is y²/2 or y⁴/8
        assert all(radius(method, y * 1j) > 1 + y**4 / 10 for y in (0.02, 0.1, 0.5))


@pytest.mark.parametrize(("method", "last"), [(Dopri5, 1 / 600), (Tsit5, 0.0014322)])
def test_stability_function(method, last):
    """R(z) = Σ z^j/j! to z^5, and a term of z^6."""
    a, b = matrix(method.tableau), torch.tensor([*map(float, method.tableau.b)], dtype=torch.float64)
    stages, coefficients = torch.ones(len(b), dtype=torch.float64), []
    for _ in range(7):
        coefficients.append(float(b @ stages))
        stages = a @ stages
    assert all(math.isclose(c, 1 / math.factorial(j), abs_tol=1e-14) for j, c in enumerate(coefficients[:5], 1))
    assert math.isclose(coefficients[5], last, rel_tol=1e-4) and abs(coefficients[6]) < 1e-13


@pytest.mark.parametrize(
    ("name", "each", "more"),
    [("midpoint", 2, 0), ("heun", 2, 0), ("ralston", 2, 0), ("bosh3", 3, 1), ("rk38", 4, 0), ("dopri5", 6, 1),
     ("tsit5", 6, 1), ("dopri8", 13, 0)],
)  # fmt: skip
def test_evaluations(name, each, more):
    calls = 0

    def counted(t, x):
        nonlocal calls
        calls += 1
        return pendulum(t, x)

    march(METHODS[name][0], counted, X0, 0.1, 10)
    assert calls == 10 * each + more


def test_dopri8_reaches_rounding_in_forty_steps():
    assert float((march(Dopri8, pendulum, X0, 0.05, 40) - swung()).norm()) < 2e-15


def test_every_runge_kutta_plug_in_is_tested_here():
    tableaus = {name for name in plugins.__all__ if hasattr(getattr(plugins, name), "tableau")}
    assert {name.lower() for name in tableaus} == set(METHODS)
