"""Exact evaluation at the equilibrium: identities are shown, near-zeros are not, kinks stop the gradient."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import certificates as c
import numpy as np
import pytest
import taylor
from flint import arb
from random_graphs import random_graph

from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.symbolic import Algebra, Form, Undetermined, gradient, values

Build = Callable[[c.Builder, c.Node], c.Node]


def at(n: int, build: Build, point: list[str]) -> tuple[list[Form], Callable[[], list[Form]]]:
    """Forms of a function at a point, and a call that gives its gradient."""
    g = c.Builder(n)
    graph = read_graph(g.output(build(g, g.input())), n, "f")
    algebra = Algebra()
    found = values(graph, [Fraction(v) for v in point], algebra)
    return found[graph.output], lambda: gradient(graph, found, algebra)


WEIGHTS = c.random_weights([2, 5, 5, 1], 3)


def sign(g: c.Builder, x: c.Node, jump: float = 1.0) -> c.Node:
    """jump or -jump, both at zero."""
    return g.op("select", x, g.constant([jump]), g.constant([-jump]))


def far(g: c.Builder, x: c.Node) -> c.Node:
    """Positive where |x| > 1."""
    return g.op("abs", x) - g.constant([1.0])


def difference(g: c.Builder, x: c.Node) -> c.Node:
    """net(x) - net(x*) with x* = (1/4, -2), biases everywhere."""
    return c.network(g, x, WEIGHTS, "tanh") - c.network(g, g.constant([0.25, -2.0]), WEIGHTS, "tanh")


@pytest.mark.parametrize("activation", ["tanh", "relu", "atan", "softplus", "erf", "sin", "cos", "exp", "abs"])
def test_network_less_its_value_at_the_equilibrium_is_identically_zero(activation: str) -> None:
    def build(g: c.Builder, x: c.Node) -> c.Node:
        there = c.network(g, g.constant([0.25, -2.0]), WEIGHTS, activation)
        return c.network(g, x, WEIGHTS, activation) - there

    assert at(2, build, ["1/4", "-2"])[0] == [{}]
    assert at(2, build, ["1/4", "-2000000001/1000000000"])[0] != [{}]


def test_the_gradient_of_a_squared_difference_vanishes_identically() -> None:
    forms, slope = at(2, lambda g, x: g.op("square", difference(g, x)), ["1/4", "-2"])
    assert forms == [{}] and slope() in ([], [{}, {}])


def test_the_gradient_of_the_difference_itself_does_not_vanish() -> None:
    assert any(at(2, difference, ["1/4", "-2"])[1]())


ZEROS: dict[str, Build] = {
    "odd functions at zero": lambda g, x: g.op("sin", x) + g.op("tanh", x),
    "clamp of zero": lambda g, x: g.op("minimum", g.op("maximum", x, g.constant([-6.0])), g.constant([6.0])),
    "cos 0 - 1": lambda g, x: g.op("cos", x) - g.constant([1.0]),
    "exp 0 - 1": lambda g, x: g.op("exp", x) - g.constant([1.0]),
    "atan and erf of zero": lambda g, x: g.op("atan", x) - g.op("erf", x),
    "log 1": lambda g, x: g.op("log", g.op("exp", x)),
    "sqrt of squares": lambda g, x: g.op("sqrt", x + g.rational("49/64")) - g.rational("7/8"),
    "sqrt 0": lambda g, x: g.op("sqrt", x * g.op("tanh", g.constant([0.7]))),
    "norm of zeros": lambda g, x: g.norm(g.concatenate(x, x, x)),
    "norm of 3 and 4": lambda g, x: (
        g.norm(g.concatenate(g.constant([3.0]) + x, g.constant([-4.0]))) - g.constant([5.0])
    ),
    "norms of two groups": lambda g, x: g.norm(g.concatenate(x, x, g.constant([-2.0]), x), 2) - g.constant([0.0, 2.0]),
    "switch of known sign": lambda g, x: g.op("select", x - g.constant([1.0]), g.constant([3.0]), x),
    "switch between equal values": lambda g, x: g.op("select", x, g.op("tanh", x), x),
    "zero times an atom": lambda g, x: x * g.op("tanh", g.constant([0.7])),
    "division": lambda g, x: x / g.op("exp", g.op("exp", x)),
    "a b - b a": lambda g, x: (
        g.op("exp", g.constant([0.5])) * g.op("sin", g.constant([2.0]))
        - g.op("sin", g.constant([2.0])) * g.op("exp", g.constant([0.5]))
    ),
    "thirds": lambda g, x: g.rational("1/3") + g.rational("1/6") - g.rational("1/2") + x,
    "cube": lambda g, x: g.power(x, 3),
    "an angle wrapped to itself": lambda g, x: (
        x - g.constant([2 * np.pi]) * g.op("floor", (x + g.constant([np.pi])) / g.constant([2 * np.pi]))
    ),
    "the same atom rounded down": lambda g, x: (lambda f: f - f)(g.op("floor", g.op("exp", x + g.constant([1.0])))),
    "relu and abs": lambda g, x: g.op("relu", x) - g.op("abs", x),
    "a sign in a branch that is not taken": lambda g, x: g.op("select", far(g, x), sign(g, x), x),
    "zero times a sign": lambda g, x: x * g.op("exp", sign(g, x)),
    "a sign less itself": lambda g, x: (lambda s: s - s)(g.op("exp", sign(g, x))),
}


@pytest.mark.parametrize("name", ZEROS)
def test_what_is_identically_zero(name: str) -> None:
    assert not any(at(1, ZEROS[name], ["0"])[0])


NOT_ZEROS: dict[str, Build] = {
    "sin of a rounded pi": lambda g, x: g.op("sin", g.constant([float(np.pi)])),
    "a tenth in float64 is no tenth": lambda g, x: g.constant([0.1]) - g.rational("1/10"),
    "1e-300": lambda g, x: g.constant([1e-300]),
    "moved by 1e-9": lambda g, x: x + g.constant([1e-9]),
    "cos 0": lambda g, x: g.op("cos", x),
    "two networks": lambda g, x: g.op("tanh", g.constant([0.3])) - g.op("tanh", g.constant([0.30000001])),
}


@pytest.mark.parametrize("name", NOT_ZEROS)
def test_what_is_not_zero_is_not_called_zero(name: str) -> None:
    assert at(1, NOT_ZEROS[name], ["0"])[0] != [{}]


UNDETERMINED: dict[str, tuple[Build, str]] = {
    "log of zero": (lambda g, x: g.op("log", x), "logarithm"),
    "log of a negative number": (lambda g, x: g.op("log", x - g.constant([1.0])), "logarithm"),
    "root of a negative number": (lambda g, x: g.op("sqrt", x - g.constant([1.0])), "negative"),
    "floor of a whole number": (lambda g, x: g.op("floor", x - g.constant([3.0])), "floor"),
    "switch at zero": (lambda g, x: g.op("select", x, g.constant([0.0]), g.constant([1.0])), "select"),
    "function of a sign": (lambda g, x: g.op("exp", g.op("sin", sign(g, x)) * g.constant([2.0])), "select"),
    "a sign in the branch that is taken": (lambda g, x: g.op("select", -far(g, x), sign(g, x), x), "select"),
    "a sign by a sign": (lambda g, x: g.op("select", sign(g, x), x, sign(g, x, 2.0)), "select"),
    "switches at zero are not one": (lambda g, x: sign(g, x) - sign(g, g.op("sin", x)), "select"),
    "one of them negated": (lambda g, x: sign(g, x) + sign(g, -x), "select"),
}


@pytest.mark.parametrize("name", UNDETERMINED)
def test_what_has_no_single_value_is_undetermined(name: str) -> None:
    build, reason = UNDETERMINED[name]
    with pytest.raises(Undetermined, match=reason):
        at(1, build, ["0"])


KINKS: dict[str, Build] = {
    "norm": lambda g, x: g.norm(x),
    "sqrt": lambda g, x: g.op("sqrt", g.op("square", x)),
    "square of a root": lambda g, x: g.op("square", g.op("sqrt", g.op("abs", x))),
    "switch between equal values": lambda g, x: g.op("select", x, x, g.op("sin", x)),
    "floor of an atom": lambda g, x: (lambda a: g.op("floor", a) - a + a - g.op("floor", a + x))(
        g.op("exp", g.constant([1.0]))
    ),
}


@pytest.mark.parametrize("name", KINKS)
def test_what_has_no_gradient_is_undetermined(name: str) -> None:
    forms, slope = at(1, KINKS[name], ["0"])
    assert forms == [{}]
    with pytest.raises(Undetermined, match="V has a"):
        slope()


def test_identities_in_a_free_disturbance() -> None:
    """x - x d + sin(d) - sin(d + x) vanishes at x = 0 for every d; d alone does not, nor d_0 - d_1."""
    g = c.Builder(3)
    z = g.input()
    x, d, e = z[0], z[1], z[2]
    for node, zero in (
        (x - x * d + g.op("sin", d) - g.op("sin", d + x), True), (d - d, True), (d, False), (d - e, False),
        (x * (d / e), True), (g.op("maximum", d, e) - g.op("maximum", d, e + x), True),
    ):  # fmt: skip
        algebra = Algebra()
        graph = read_graph(g.output(node), 3, "F")
        forms = values(graph, [Fraction(0), algebra.free(0), algebra.free(1)], algebra)[graph.output]
        assert (forms == [{}]) == zero


@pytest.mark.parametrize("operation", ["relu", "abs"])
def test_a_kink_at_the_equilibrium_has_no_gradient_unless_its_adjoint_vanishes(operation: str) -> None:
    with pytest.raises(Undetermined, match="kink"):
        at(1, lambda g, x: g.op(operation, x), ["0"])[1]()
    assert not any(at(1, lambda g, x: g.op("square", g.op(operation, x)), ["0"])[1]())
    assert not any(at(1, lambda g, x: (lambda r: r - r)(g.op(operation, x)), ["0"])[1]())


def test_a_sign_at_zero_enters_the_gradient_where_it_matters_alone() -> None:
    assert at(1, lambda g, x: g.op("select", far(g, x), sign(g, x), x), ["0"])[1]() == [{0: 1}]
    assert not any(at(1, lambda g, x: g.op("square", x) * sign(g, x), ["0"])[1]())
    forms, slope = at(1, lambda g, x: x * sign(g, x), ["0"])
    assert forms == [{}] and any(slope())


def test_a_maximum_of_equal_arguments_has_no_gradient() -> None:
    with pytest.raises(Undetermined, match="kink"):
        at(2, lambda g, x: g.op("maximum", x[0], x[1]), ["1/2", "1/2"])[1]()


def test_division_by_zero_at_the_equilibrium_is_not_defined() -> None:
    with pytest.raises(Undetermined, match="division by zero"):
        at(1, lambda g, x: g.constant([1.0]) / x, ["0"])


@pytest.mark.parametrize("seed", range(8))
def test_rational_gradients_equal_finite_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, b = rng.integers(-3, 4, (4, 2)).astype(float), rng.integers(1, 4, 4) + 0.5

    def build(g: c.Builder, x: c.Node) -> c.Node:
        y = g.linear(A, x) + g.constant(b)
        z = g.op("relu", y) * g.op("square", y) - g.op("abs", y) / g.power(y, 3) + g.op("maximum", y, -y)
        joined = g.concatenate(z, g.op("minimum", y, g.constant([0.25] * 4)))[[0, 1, 2, 3, 7, 7, 5]]
        return g.sum(g.linear(rng_weights, joined), 1)

    rng_weights = rng.integers(-2, 3, (3, 7)).astype(float)
    point = rng.integers(-2, 3, 2) + 0.125
    forms, slope = at(2, build, [str(Fraction(v)) for v in point.tolist()])
    g = c.Builder(2)
    graph = g.output(build(g, g.input()))
    assert float(forms[0].get(0, 0)) == pytest.approx(c.evaluate(graph, point[None])[0, 0])
    exact = [float(f.get(0, 0)) for f in slope()] or [0.0, 0.0]
    assert exact == pytest.approx(c.gradient(graph, point[None])[0].tolist(), rel=1e-5, abs=1e-5)


ATOMS: dict[str, Callable[..., arb]] = {
    **{name: getattr(arb, name) for name in ("sin", "cos", "exp", "tanh", "atan", "erf", "log", "sqrt")},
    "softplus": lambda a: (a.exp() + 1).log(),
    "bell": lambda a: 2 / arb.pi().sqrt() * (-a * a).exp(),
    "mul": lambda a, b: a * b,
    "reciprocal": lambda a: 1 / a,
    "abs": abs,
    "relu": lambda a: a if a > 0 else arb(0),
    "maximum": lambda a, b: a if a > b else b,
    "minimum": lambda a, b: b if a > b else a,
    "select": lambda switch, a, b: a if switch > 0 else b,
    "floor": arb.floor,
    "either": lambda a, b: a.union(b),
}


def in_numbers(form: Form, algebra: Algebra) -> arb:
    """The value of a form, its atoms computed as their names say."""
    keys = {number: key for key, number in algebra.atoms.items()}

    def value(form: Form) -> arb:
        return sum((taylor.rational(w) * atom(keys[number]) for number, w in form.items()), arb(0))

    def atom(key: tuple) -> arb:
        name, *forms = key
        return arb(1) if name == "one" else ATOMS[name.split()[0]](*(value(dict(form)) for form in forms))

    return value(form)


@pytest.mark.parametrize("seed", range(60))
def test_forms_are_the_values_and_gradients_they_stand_for(seed: int) -> None:
    """Of random graphs with kinks at a rational point, where atoms are evaluated in ball arithmetic."""
    draw = random.Random(seed)
    n = draw.randint(1, 3)
    graph, point = random_graph(draw, n), [Fraction(draw.randint(-4, 4), 2) for _ in range(n)]
    held, algebra = read_graph(graph, n, "f"), Algebra()
    try:
        found = values(held, point, algebra)
        slope = gradient(held, found, algebra) or [{}] * n
    except Undetermined:
        return
    with taylor.precise():
        for i in range(n):
            line = taylor.line(map(float, point), [float(i == j) for j in range(n)])
            exact = taylor.evaluate(graph, line)[0]
            assert in_numbers(found[held.output][0], algebra).overlaps(exact[0]) or not exact[0].is_finite()
            assert in_numbers(slope[i], algebra).overlaps(exact[1]) or not exact[1].is_finite()


def test_work_is_bounded() -> None:
    def towers(g: c.Builder, x: c.Node) -> c.Node:
        for _ in range(60):
            x = g.op("square", x)
        return x

    with pytest.raises(Undetermined, match="too large"):
        at(1, towers, ["3/2"])
