"""Forms of second order: they hold exact values and derivatives, and what is left out is of third order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
import taylor as oracle
from flint import arb
from random_graphs import random_box, random_graph, random_points

from ctrlnet.checker import check_bytes, taylor
from ctrlnet.checker.balls import ball_elementary
from ctrlnet.checker.derivatives import Derivatives
from ctrlnet.checker.enclosures import decrease, flow, form_of, formed
from ctrlnet.checker.functions import FUNCTIONS, Elementary, numpy_elementary, powers
from ctrlnet.checker.graph import ARITY, read_graph
from ctrlnet.checker.interval import Interval, Matrix
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.smooth import HIGHER, higher_powers, tanh_fourth
from ctrlnet.checker.taylor import Form, constant, variables
from ctrlnet.checker.taylor_ranges import _peaks, least, span, tight
from ctrlnet.checker.taylor_rules import Value, evaluate

MODES = {"numpy": numpy_elementary, "balls": ball_elementary}
RANGES = [
    (0.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (-0.25, 1.0), (-1.0, 0.25), (1.0, 1.0), (0.5, 0.75), (1.0, 1.0 + 2**-52),
    (-3.0, -2.0), (0.0, 5e-324), (-1e-200, 1e-200), (1e-200, 2e-200), (1e-3, 1e3), (-1e150, 1e150), (1e150, 1.5e150),
    (-700.0, 700.0), (1e-308, 1e-307), (-0.1, 0.0), (2.0, 40.0), (-40.0, -2.0),
]  # fmt: skip
"""Of an argument: regular, degenerate, at the kink, across it, tiny, huge."""


def ready(graph: dict[str, Any], n: int, elementary: Elementary = numpy_elementary) -> Evaluator:
    return Evaluator(read_graph(graph, n, "f"), n, elementary)


def along(f: Evaluator, box: Interval, q: Sequence[float]) -> list[Form]:
    """f with its first and second derivative in the direction q, over one box."""
    steady = (Interval(np.array([v]), np.array([v])) for v in (q, np.zeros(len(q))))
    inputs = [variables(box), *(constant(v, len(q)) for v in steady)]
    return [form.over(box) for form in evaluate(f, Value(inputs, box)).forms]


def within(form: Form, box: Interval, point: Sequence[float], exact: arb) -> bool:
    """Whether the form says anything at a point; it must hold the exact value."""
    terms, rest, n = form.terms[:, 0, 0].tolist(), float(form.rest[0, 0]), form.n
    if not (np.isfinite(terms).all() and np.isfinite(rest)):
        return False
    m, h = (v[0].tolist() for v in taylor.around(box))
    e = [(arb(x) - arb(a)) / arb(b) for x, a, b in zip(point, m, h, strict=True)]
    pairs = [(i, i) for i in range(n)] + [(i, j) for i in range(n) for j in range(i + 1, n)]
    factors = [arb(1), *e, *(e[i] * e[j] for i, j in pairs)]
    value = sum((arb(t) * factor for t, factor in zip(terms, factors, strict=False)), arb(0))
    assert not abs(value - exact) > arb(rest), (value, exact, rest)
    return True


def contained(graph: dict[str, Any], f: Evaluator, box: Interval, points: Any, draw: random.Random) -> list[int]:
    """How many of value, first and second derivative are known at each point; all that is said must be true."""
    found = []
    for k, point in enumerate(points):
        q = [float(draw.choice((-1, 0, 1, 2))) for _ in point]
        with oracle.precise():
            exact = oracle.derivatives(oracle.evaluate(graph, oracle.line(point, q), k)[0])
            forms = along(f, box, q)
            found.append(sum(within(form, box, point, value) for form, value in zip(forms, exact, strict=True)))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("block", range(6))
def test_forms_of_random_graphs_hold_exact_values_and_derivatives(block: int, mode: str) -> None:
    found = []
    for seed in range(50 * block, 50 * block + 50):
        draw = random.Random(seed)
        n = draw.randint(1, 6)
        graph, box = random_graph(draw, n), random_box(draw, n)
        found += contained(graph, ready(graph, n, MODES[mode]), box, random_points(draw, box, 3), draw)
    assert sum(k == 3 for k in found) > 0.2 * len(found) and sum(k >= 1 for k in found) > 0.6 * len(found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [7, 8])
def test_forms_in_seven_and_eight_dimensions_hold_exact_values_and_derivatives(n: int, mode: str) -> None:
    found = []
    for seed in range(7000, 7060):
        draw = random.Random(seed)
        graph, box = random_graph(draw, n), random_box(draw, n)
        found += contained(graph, ready(graph, n, MODES[mode]), box, random_points(draw, box, 3), draw)
    assert sum(k >= 1 for k in found) > 0.6 * len(found)


@pytest.mark.slow
def test_forms_of_many_random_graphs_hold_exact_values_and_derivatives() -> None:
    for seed in range(1000, 6000):
        draw = random.Random(seed)
        n = draw.randint(1, 8)
        graph, box = random_graph(draw, n), random_box(draw, n)
        contained(graph, ready(graph, n), box, random_points(draw, box, 3), draw)


def operations() -> dict[str, dict[str, Any]]:
    """One graph of two variables for every operation that bends, breaks or joins."""
    graphs = {}
    for name in [k for k in ARITY if k not in ("input", "constant", "take", "linear", "sum", "concatenate")]:
        g = c.Builder(2)
        x = g.input()
        if name in ("power", "norm"):
            made = g.norm(x) if name == "norm" else g.power(x[0], 3) + g.power(x[1], 4)
        else:
            arguments = [x[0], x[1], -x[0]][: ARITY[name]]
            made = g.op(name, *arguments)
        graphs[name] = g.output(made)
    return graphs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", operations())
def test_every_operation_on_regular_degenerate_kinked_tiny_and_huge_boxes(name: str, mode: str) -> None:
    draw, graph, found = random.Random(name), operations()[name], []
    f = ready(graph, 2, MODES[mode])
    for first, second in draw.sample([*itertools.product(RANGES, RANGES)], 120):
        box = Interval(*np.array([first, second]).T[:, None, :])
        points = [*itertools.product(first, second), *random_points(draw, box, 2)]
        found += contained(graph, f, box, draw.sample(points, 3), draw)
    assert any(k == 3 for k in found)


def test_every_smooth_function_has_higher_derivatives() -> None:
    assert set(HIGHER) | {"relu", "abs", "floor"} == set(FUNCTIONS)


@pytest.mark.parametrize("name", [*HIGHER, 2, 3, 4, 5, 9])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_higher_derivatives_hold_differences_of_those_below(name: str | int, low: float, high: float) -> None:
    """(f''(b) - f''(a)) / (b - a) is a mean of f''' over [a, b], and so on."""
    x, e = Interval(np.array([[low]]), np.array([[high]])), ball_elementary
    f, higher = (FUNCTIONS[name], HIGHER[name]) if isinstance(name, str) else (powers(name), higher_powers(name))
    y, ends = f.value(x, e), [Interval(v, v) for v in (x.lo, x.hi)]
    rows = [[row(v, f.value(v, e), e) for v in ends] for row in (f.second, higher.third)]
    for (first, second), above in zip(rows, higher, strict=True):
        found = above(x, y, e) * (x - Interval(x.lo, x.lo))
        assert not (second - first).hi.min() < found.lo.min() and not (second - first).lo.max() > found.hi.max()


def test_the_turns_of_the_fourth_derivative_of_tanh() -> None:
    """Held, and no more than that, by ranges of which they are inside; 15 t^4 - 15 t^2 + 2 = 0 there."""
    for square, height in ((0.5 - (7 / 60) ** 0.5, 4.085886), (0.5 + (7 / 60) ** 0.5, -0.610087)):
        for sign in (1, -1):
            t = sign * square**0.5
            ends = sorted((t, sign * 0.999 * square**0.5)), sorted((t, sign * 1.001 * square**0.5))
            for low, high in ends:
                found = tanh_fourth(Interval(np.array([low]), np.array([high])))
                turn = (found.hi if sign * height > 0 else found.lo)[0]
                assert sign * turn * np.sign(height) >= abs(8 * t * (2 - 5 * t**2 + 3 * t**4)) - 1e-14
                assert turn == pytest.approx(sign * height, abs=2e-6)


def size(draw: random.Random) -> float:
    """Any float64, often zero, tiny or huge."""
    return draw.choice((0.0, 1.0, draw.uniform(-1, 1))) * 2.0 ** draw.choice((0, 0, 0, -1070, -540, -3, 3, 250))


def drawn(draw: random.Random, n: int, entries: int) -> Form:
    """A form of one box; some have no quadratic terms, or are constant."""
    rows = draw.choice((1, 1 + n, 1 + n + n * (n + 1) // 2, 1 + n + n * (n + 1) // 2))
    terms = np.array([[[size(draw) for _ in range(entries)]] for _ in range(rows)])
    return Form(terms, np.array([[abs(size(draw)) for _ in range(entries)]]), n)


def exactly(form: Form, e: Sequence[Fraction], share: Sequence[Fraction]) -> list[Fraction]:
    """A value of each entry at e: the polynomial and a share of `rest`."""
    pairs = [(i, i) for i in range(form.n)] + list(itertools.combinations(range(form.n), 2))
    factors = [Fraction(1), *e, *(e[i] * e[j] for i, j in pairs)]
    columns, rests = form.terms[:, 0].T.tolist(), form.rest[0].tolist()
    return [
        sum((Fraction(t) * factor for t, factor in zip(column, factors, strict=False)), Fraction(rest) * s)
        for column, rest, s in zip(columns, rests, share, strict=True)
    ]


W = np.array([[1.0, -3.0], [2.0**-60, 1e9], [0.0, 1 / 3]])


def cubic(a: Form) -> Form:
    """2^70 + 2^-40 (a - 3) - 2^90 (a - 3)^2."""
    at, p, rest = (np.full((1, 2), v) for v in (3.0, 1.0, 0.0))
    return taylor.polynomial(a, at, (2.0**70 * p, 2.0**-40 * p, -(2.0**90) * p), rest)


def cubed(a: list[Fraction]) -> list[Fraction]:
    return [2**70 + Fraction(1, 2**40) * (x - 3) - 2**90 * (x - 3) ** 2 for x in a]


def mapped(a: list[Fraction], matrix: Any = W) -> list[Fraction]:
    return [sum((Fraction(float(w)) * x for w, x in zip(row, a, strict=True)), Fraction(0)) for row in matrix]


SHARE = np.array([[0.3, 1.0]])
RULES: dict[str, tuple[Callable[..., Form], Callable[..., list[Fraction]]]] = {
    "add": (taylor.add, lambda a, b: [x + y for x, y in zip(a, b, strict=True)]),
    "multiply": (taylor.multiply, lambda a, b: [x * y for x, y in zip(a, b, strict=True)]),
    "linear": (
        lambda a, b: taylor.linear(a, Matrix.of(W, W)),
        lambda a, b: mapped(a),
    ),
    "grouped sum": (lambda a, b: taylor.grouped_sum(a, 1), lambda a, b: [sum(a)]),
    "mixed": (
        lambda a, b: taylor.mixed(SHARE, a, b, Interval(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]]))),
        lambda a, b: [Fraction(0.3) * a[0] + (1 - Fraction(0.3)) * b[0] + 2, a[1]],
    ),
    "either": (
        lambda a, b: taylor.either(a, b, np.array([[False, True]]), np.array([[False, False]])),
        lambda a, b: [(a[0] + 4 * b[0]) / 5, a[1]],
    ),
    "polynomial": (
        lambda a, b: cubic(a),
        lambda a, b: cubed(a),
    ),
    "concatenate": (lambda a, b: taylor.concatenate([a, b]), lambda a, b: [*a, *b]),
    "linear of linear": (
        lambda a, b: taylor.linear(taylor.linear(a, Matrix.of(W, W)), Matrix.of(W.T, W.T)),
        lambda a, b: mapped(mapped(a), W.T),
    ),
    "sum of products": (
        lambda a, b: taylor.grouped_sum(taylor.add(taylor.multiply(a, b), taylor.multiply(b, b)), 1),
        lambda a, b: [sum(x * y + y * y for x, y in zip(a, b, strict=True))],
    ),
    "sums of products with more": (
        lambda a, b: taylor.grouped_sum(taylor.add(a, taylor.multiply(a, b)), 2),
        lambda a, b: [x + x * y for x, y in zip(a, b, strict=True)],
    ),
    "sharpened": (
        lambda a, b: taylor.linear(taylor.multiply(cubic(a), taylor.negative(b)), Matrix.of(W, W)).sharpened(),
        lambda a, b: mapped([-x * y for x, y in zip(cubed(a), b, strict=True)]),
    ),
    "sharpened, of what is known better": (
        lambda a, b: taylor.multiply(taylor.entries(taylor.concatenate([b, a]).sharpened(), [3, 3]), a).sharpened(),
        lambda a, b: [a[1] * a[0], a[1] * a[1]],
    ),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("block", range(4))
def test_rounding_is_accounted_for_exactly(name: str, block: int) -> None:
    rule, true = RULES[name]
    known = 0
    for seed in range(100 * block, 100 * block + 100):
        draw = random.Random(seed)
        n = draw.randint(1, 3)
        a, b = drawn(draw, n, 2), drawn(draw, n, 2)
        made = rule(a, b)
        if not (np.isfinite(made.terms).all() and np.isfinite(made.rest).all()):
            continue
        known += 1
        for _ in range(4):
            e, *shares = ([Fraction(draw.uniform(-1, 1)) for _ in range(k)] for k in (n, 2, 2))
            at = [
                exactly(form, e, [draw.choice((-1, 1, s)) for s in share])
                for form, share in zip((a, b), shares, strict=True)
            ]
            values = true(*at)
            polynomial, rest = exactly(made, e, [Fraction(0)] * len(values)), made.rest[0].tolist()
            for value, held, r in zip(values, polynomial, rest, strict=True):
                assert abs(value - held) <= Fraction(r)
    assert known > 50


def smooth(n: int, seed: int) -> dict[str, Any]:
    """A random function of smooth primitives, of moderate size."""
    return c.random_graph(n, seed, c.SMOOTH)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_out_is_of_third_order(seed: int) -> None:
    """Of the value and of the derivative along a line, of smooth functions: an eighth of the box, 512 times less."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    f, centre = ready(c.random_graph(n, seed, c.SMOOTH), n), rng.uniform(-1, 1, n)
    boxes = [Interval(centre[None] - h, centre[None] + h) for h in (2.0**-8, 2.0**-11)]
    for wide, narrow in list(zip(*(along(f, box, [1.0] * n) for box in boxes), strict=True))[:2]:
        assert narrow.rest[0, 0] < wide.rest[0, 0] / 400 + 1e-11 * wide.size[0, 0]


@pytest.mark.parametrize("seed", range(40))
def test_products_of_matrices_hold_exact_products(seed: int) -> None:
    """Of matrices at the ends of what is known of them."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    k, m, n = (draw.randint(1, 4) for _ in range(3))
    known = []
    for shape in ((m, n), (k, m)):
        low = rng.normal(size=shape) * 2.0 ** rng.choice([-540, -3, 0, 300], shape)
        known.append((low, low + draw.choice((0.0, 1e-12, 0.5)) * np.abs(low)))
    product = Matrix.of(*known[0]).then(Matrix.of(*known[1]))
    assert product.radius is not None
    first, last = ([[Fraction(draw.choice(pair)) for pair in zip(*row, strict=True)] for row in zip(*pair, strict=True)]
                   for pair in ([bound.tolist() for bound in bounds] for bounds in known))  # fmt: skip
    for i, row in enumerate(last):
        for j in range(n):
            exact = sum(a * first[l][j] for l, a in enumerate(row))
            centre, radius, magnitude = (Fraction(a[j, i]) for a in (product.centre, product.radius, product.magnitude))
            assert abs(exact - centre) <= radius and abs(exact) <= magnitude


def tall(n: int) -> Evaluator:
    """A network of tanh layers n-32-32-1."""
    g = c.Builder(n)
    return ready(g.output(c.network(g, g.input(), c.random_weights([n, 32, 32, 1], n), "tanh")), n)


@pytest.mark.parametrize("n", [3, 8])
def test_behind_layers_the_rest_is_far_less_by_adjoints(n: int) -> None:
    form = form_of(tall(n), Interval(np.full((1, n), -0.1), np.full((1, n), 0.1))).forms[0]
    assert form.rest[0, 0] < 0.6 * form.origin.rest[0, 0]


@pytest.mark.parametrize("n", [3, 8])
def test_what_a_sum_of_products_leaves_out_does_not_depend_on_the_coordinates(n: int) -> None:
    """x.f = (M x).(M f) for orthogonal M, f quadratic; product by product it is far more."""
    rng = np.random.default_rng(n)
    M = np.linalg.qr(rng.normal(size=(n, n)))[0]
    box, rows = Interval(np.full((1, n), -1.0), np.ones((1, n))), (1 + n + n * (n + 1) // 2, 1, n)
    x, f = variables(box), Form(rng.normal(size=rows), np.zeros((1, n)), n)
    turned = [taylor.linear(a, Matrix.of(M, M)) for a in (x, f)]
    plain, other = (taylor.grouped_sum(taylor.multiply(*pair), 1).rest[0, 0] for pair in ((x, f), turned))
    assert other == pytest.approx(plain, rel=1e-9)
    assert plain < 0.8 * taylor.multiply(x, f).rest.sum() < 0.8 * taylor.multiply(*turned).rest.sum()


@pytest.mark.parametrize("seed", range(60))
def test_ranges_hold_samples_and_are_sharp_for_convex_functions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    R = rng.normal(size=(n, n)) + 2 * np.eye(n)
    Q, A, known = R @ R.T - (seed % 2) * np.diag(rng.uniform(0, 3, n)), rng.normal(size=n) * 3, 0.25
    i, j = np.triu_indices(n, 1)
    terms = np.concatenate([[0.5], A, Q.diagonal(), 2 * Q[i, j]])[:, None, None]
    form = Form(terms, np.full((1, 1), known), n)
    corners = rng.choice([-1.0, 0.0, 1.0], (3000, n)) * rng.choice([1.0, 0.3], (3000, n))
    e = np.concatenate([corners, rng.uniform(-1, 1, (3000, n))])
    values = 0.5 + e @ A + np.einsum("ki,ij,kj->k", e, Q, e)
    for found in (span(form)[:, 0], tight(form)):
        assert found.lo[0] <= values.min() - known and found.hi[0] >= values.max() + known
    if seed % 2 == 0:
        best = minimum(A, Q)
        assert least(form)[0] == pytest.approx(0.5 - known + best, abs=0.01 * np.abs(Q).sum())


def minimum(A: np.ndarray, Q: np.ndarray) -> float:
    """Of a convex A.e + e'Qe on the cube, by projected gradients."""
    e, step = np.zeros(len(A)), 0.5 / np.linalg.eigvalsh(Q)[-1]
    for _ in range(2000):
        e = np.clip(e - step * (A + 2 * Q @ e), -1, 1)
    return float(A @ e + e @ Q @ e)


@pytest.mark.parametrize("block", range(4))
def test_ranges_hold_the_exact_values_at_corners(block: int) -> None:
    """Where nothing bends the least value is at a corner, and what the bound adds for rounding keeps it inside."""
    for seed in range(100 * block, 100 * block + 100):
        draw = random.Random(seed)
        n, bends = draw.randint(1, 4), draw.choice((0.0, 1e-17, 1.0))
        Q = [bends * draw.uniform(-1, 1) for _ in range(n * (n + 1) // 2)]
        terms = np.array([draw.uniform(-1, 1) for _ in range(1 + n)] + Q)[:, None, None]
        form = Form(terms, np.zeros((1, 1)), n)
        ends = [-1 if a > 0 else 1 for a in form.linear[:, 0, 0]]
        for e in (ends, [-v for v in ends], [draw.choice((-1, 0, 1)) for _ in range(n)]):
            (value,) = exactly(form, [Fraction(v) for v in e], [Fraction(0)])
            for found in (span(form)[:, 0], tight(form)):
                assert Fraction(found.lo[0]) <= value <= Fraction(found.hi[0])


def test_where_the_expansion_says_less_than_the_natural_enclosure_that_is_taken() -> None:
    g = c.Builder(1)
    f, box = ready(g.output(g.op("tanh", g.input())), 1), Interval(np.array([[-50.0]]), np.array([[60.0]]))
    value, slope, bend = along(f, box, [1.0])
    assert value.rest[0, 0] < 1.001 and slope.rest[0, 0] < 0.501 and bend.rest[0, 0] < 0.77


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("row", range(7))
def test_ranges_of_what_is_not_finite_or_too_large_prove_nothing(bad: float, row: int) -> None:
    """10 + e1 + e2 + e1^2 + e2^2 + e1 e2 + [-1, 1], one coefficient replaced."""
    terms = np.array([10.0, 1, 1, 1, 1, 1, 1])
    terms[row] = bad if row or bad != 1e300 else -bad
    form = Form(terms[:6, None, None], terms[6:, None], 2)
    assert not tight(form).lo[0] > 0 and not span(form).lo[0, 0] > 0


@pytest.mark.parametrize(
    "build",
    [
        lambda g, x: g.op("sqrt", x[0]),
        lambda g, x: g.op("select", x[0], g.constant([1.0]), g.constant([2.0])),
        lambda g, x: g.op("floor", x[0]),
        lambda g, x: g.op("log", x[0]),
        lambda g, x: g.constant([1.0]) / x[0],
        lambda g, x: g.op("sqrt", g.op("square", x[0])),
        lambda g, x: g.power(g.op("sqrt", x[0]), 3),
    ],
)
@pytest.mark.parametrize("low", [0.0, -0.5])
def test_where_V_is_not_Lipschitz_nothing_is_said_of_its_derivative_even_along_a_field_that_vanishes(
    build: Callable[..., c.Node], low: float
) -> None:
    v, f = c.Builder(3), c.Builder(3)
    x = v.input()
    V, F = ready(v.output(build(v, x)), 3), ready(f.output(f.linear(np.zeros((3, 3)), f.input())), 3)
    box = Interval(np.array([[low, 0.0, 0.0]]), np.ones((1, 3)))
    G = flow(V, F, box, Interval(np.ones(1), np.ones(1)))[1].value
    assert not np.isfinite(G.lo).any() or not np.isfinite(G.hi).any()


@pytest.mark.parametrize(("low", "defined"), [(-0.5, False), (0.0, False), (0.25, True)])
def test_an_undefined_entry_of_the_field_matters_though_nothing_reads_it(low: float, defined: bool) -> None:
    """V = h = x1 + 2 does not depend on x2, whose derivative is ln x2."""
    v, f = c.Builder(3), c.Builder(3)
    V, x = ready(v.output(v.input()[0] + v.constant([2.0])), 3), f.input()
    F = ready(f.output(f.concatenate(-x[0], f.op("log", x[1]), x[2])), 3)
    box, one = Interval(np.array([[0.5, low, 0.0]]), np.ones((1, 3))), Interval(np.ones(1), np.ones(1))
    assert flow(V, F, box, one)[1].positive().proved[0] == defined
    assert Derivatives(V, F, one, one).second(box).positive().proved[0] == defined


@pytest.mark.parametrize("kink", ["relu", "abs"])
def test_a_barrier_of_high_order_must_be_twice_differentiable(kink: str) -> None:
    """F = 0, so that psi2 = h: positive, but for the kink of h."""
    h, f = c.Builder(2), c.Builder(2)
    x = h.input()
    H = ready(h.output(h.op(kink, x[0]) + h.constant([1.0])), 2)
    F = ready(f.output(f.linear(np.zeros((2, 2)), f.input())), 2)
    one = Interval(np.ones(1), np.ones(1))
    for low, proved in ((-0.5, False), (0.0, False), (0.5, True)):
        box = Interval(np.array([[low, 0.0]]), np.ones((1, 2)))
        assert Derivatives(H, F, one, one).second(box).positive().proved[0] == proved


@pytest.mark.parametrize("names", [c.SMOOTH, c.UNARY + c.BINARY], ids=["smooth V", "kinks in V"])
@pytest.mark.parametrize("seed", range(20))
def test_decrease_in_many_dimensions_is_not_proved_where_samples_refute_it(seed: int, names: list[str]) -> None:
    """A rate barely above the largest that samples allow is not proved; on small boxes one far below is."""
    rng = np.random.default_rng(seed)
    n = (3, 4, 7, 8)[seed % 4]
    V, F = squared_plus_one(n, seed, names), joined(n, seed)
    lo = rng.uniform(-1, 1, n)
    hi = lo + rng.choice([1e-6, 1e-3, 0.05], n)
    x = rng.uniform(lo, hi, (3000, n))
    v, slope = c.evaluate(V, x)[:, 0], (c.gradient(V, x, 1e-7) * c.evaluate(F, x)).sum(1)
    best, spread = -(slope / v).max(), np.ptp(slope / v)
    margin = 1e-4 * (1 + abs(best))
    box, functions = Interval(lo[None], hi[None]), (ready(V, n), ready(F, n))
    false = decrease(*functions, box, Interval.of([Fraction(best + margin)]))
    true = decrease(*functions, box, Interval.of([Fraction(best - 20 * (spread + margin))]))
    assert not false.proved[0] and not true.refuted[0]
    if names is c.SMOOTH and (hi - lo).max() < 1e-2:
        assert true.proved[0] or np.abs(slope).max() > 1e3


def squared_plus_one(n: int, seed: int, names: list[str]) -> dict[str, Any]:
    graph = c.random_graph(n, seed, names)
    at = len(graph["nodes"])
    graph["nodes"] += [["square", [at - 1], None], ["constant", [], c.array([1.0])], ["add", [at, at + 1], None]]
    return {**graph, "output": at + 2}


def joined(n: int, seed: int) -> dict[str, Any]:
    """A field of n random functions."""
    g = c.Builder(n)
    x = g.input()
    hidden = c.network(g, x, c.random_weights([n, 6, 6, n], seed), "tanh")
    return g.output(hidden + g.op("abs", x) + g.op("sin", x))


def bowl(n: int) -> dict[str, Any]:
    """|x|^2 + |x|^2_P - 2 x1 x2 + sum tanh(x)^3 / 8 + 1 / 100, an ill-conditioned bowl."""
    g = c.Builder(n)
    x = g.input()
    skew = np.eye(n) + np.triu(np.full((n, n), 0.9), 1)
    bent = g.sum(g.linear(0.125 * np.eye(n), g.power(g.op("tanh", x), 3)))
    return g.output(g.sum(g.op("square", g.linear(skew, x))) + bent + g.rational("1/100"))


@pytest.mark.parametrize("exact", [False, True])
def test_leaves_in_four_dimensions_are_settled_as_they_are(exact: bool) -> None:
    """One leaf around the minimum of a convex function: nothing has to be bisected, in either mode."""
    box = ([-0.25] * 4, [0.25] * 4)
    data = p.file("positivity", box, p.NONE, {"margin": bowl(4)}, {"interior": "p"}, where=[])
    found = check_bytes(c.sealed(data), exact=exact)
    assert found.ok and found.evaluations == 1, found
    lowered = c.changed(
        data, lambda d: d["graphs"]["margin"]["nodes"].__setitem__(-2, ["constant", [], c.array([-1e-6])])
    )
    assert not check_bytes(lowered, exact=exact).ok


def test_the_midpoint_of_a_form_refutes() -> None:
    f = ready(bowl(3), 3)
    box = Interval(np.full((2, 3), -0.25), np.full((2, 3), 0.25))
    found = formed(form_of(f, box).forms[0], box)
    assert found.positive().proved.all() and found.negative().refuted.all()
    assert found.middle.lo[0] <= 0.01 <= found.middle.hi[0]


@pytest.mark.parametrize(("A", "q"), [(1e308, -8e307), (1e-310, -1e-310), (3e-200, -1e-180), (2.0, -1e300)])
def test_the_peak_of_a_parabola_neither_overflows_nor_underflows(A: float, q: float) -> None:
    """The largest A t + q t² over [0, 1], whose 4 q or A² leaves the range of floats."""
    peak = float(_peaks(np.array([A]), np.array([q]))[0])
    exact = Fraction(A) ** 2 / (-4 * Fraction(q))
    assert abs(Fraction(peak) - exact) <= exact / 2**50 + Fraction(1, 10**300)
