"""Second-order forms contain every value: random graphs, their derivatives, boxes of all sizes, 60-digit arithmetic."""

from __future__ import annotations

import random
from fractions import Fraction

import mpmath
import pytest
import torch
from torch import Tensor

from ctrlnet.graph import Graph, gradient
from ctrlnet.prover.convex import least
from ctrlnet.prover.expansions import EXPANSIONS
from ctrlnet.prover.interval import interval_bounds
from ctrlnet.prover.quadratic import Quadratic, pairs, truncated
from ctrlnet.prover.second_order import RULES, bounds, quadratic_bounds, sharpened, worthwhile
from ctrlnet.prover.slope import FORMS, slope_bounds
from tests.prover.enclosure import boxes, points
from tests.prover.oracle import exact_value, random_graph, undefined


def assert_enclosed(graph: Graph, outputs: list[int], seed: int) -> None:
    lower, upper = boxes(graph.dimension, seed)
    forms, draw = quadratic_bounds(graph, outputs, lower, upper), random.Random(seed)
    for box in range(len(lower)):
        for state in points(lower[box], upper[box], draw, 6):
            e = _place(state, lower[box], upper[box])
            for output, form in zip(outputs, forms, strict=True):
                for k, value in enumerate(exact_value(graph, output, state)):
                    _assert_in_form(form, box, k, value, e, (seed, state))
                    if form.terms.shape[2] == 1:
                        _assert_in_range(sharpened(form).range, box, 0, value, (seed, "sharpened", state))


def _place(state: list[float], lower: Tensor, upper: Tensor) -> list[mpmath.mpf]:
    """e with x = m + h e, where h is rounded up as in the form."""
    middle = 0.5 * lower + 0.5 * upper
    half = torch.maximum(upper - middle, middle - lower)
    half = torch.where(half > 0, torch.nextafter(half, half + 1), half)
    rows = zip(state, middle.tolist(), half.tolist(), strict=True)
    return [(mpmath.mpf(s) - mpmath.mpf(m)) / h if h else mpmath.mpf(0) for s, m, h in rows]


def _assert_in_form(form: Quadratic, box: int, k: int, value: mpmath.mpf, e: list[mpmath.mpf], what: object) -> None:
    _assert_in_range(form.range, box, k, value, what)
    i, j = pairs(len(e))
    monomials = [1, *e, *(t * t for t in e), *(e[p] * e[q] for p, q in zip(i.tolist(), j.tolist(), strict=True))]
    rows, remainder = form.terms[box, :, k].tolist(), form.remainder[box, k].item()
    polynomial = mpmath.fsum(mpmath.mpf(row) * t for row, t in zip(rows, monomials, strict=True))
    assert not abs(value - polynomial) > remainder, ("form", what)


def _assert_in_range(found: tuple[Tensor, Tensor], box: int, k: int, value: mpmath.mpf, what: object) -> None:
    low, high = (bound[box, k].item() for bound in found)
    if undefined(value):
        assert not (low > -1e300) or not (high < 1e300), ("something is known of what is undefined", what)
    assert not (value < low or value > high), ("range", what)


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed: int) -> None:
    graph, output = random_graph(seed)
    assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("seed", range(30))
def test_derivatives_of_random_graphs(seed: int) -> None:
    graph, output = random_graph(1000 + seed, smooth=True)
    assert_enclosed(graph, [gradient(graph, output), output], seed)


@pytest.mark.parametrize("dimension", [7, 8])
@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_of_the_most_dimensions_and_their_derivatives(seed: int, dimension: int) -> None:
    graph, output = random_graph(2000 + seed, dimension=dimension)
    assert_enclosed(graph, [output], seed)
    graph, output = random_graph(3000 + seed, smooth=True, dimension=dimension)
    assert_enclosed(graph, [gradient(graph, output), output], seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_random_graphs(block: int) -> None:
    for seed in range(20_000 + 100 * block, 20_000 + 100 * (block + 1)):
        graph, output = random_graph(seed, dimension=(0, 7, 8)[block % 3])
        assert_enclosed(graph, [output], seed)


@pytest.mark.parametrize("operation", ["tanh", "sin", "cos", "exp", "power", "square", "reciprocal"])
def test_functions_of_a_parabola_on_ranges_of_every_kind(operation: str) -> None:
    """f(a) for a = x + x²/4, whose range is not centred at its value in the middle."""
    graph = Graph(1)
    x = graph.input
    a = graph.binary("add", x, graph.binary("mul", graph.constant([1]), graph.unary("square", x)))
    a = graph.linear(graph.concatenate([x, a]), torch.tensor([[0.75, 0.25]], dtype=torch.float64).numpy())
    output = {
        "power": lambda: graph.power(a, 5),
        "reciprocal": lambda: graph.binary("div", graph.constant([1]), a),
    }.get(operation, lambda: graph.unary(operation, a))()
    ends = [-40.0, -3.2, -1.0, -1e-3, 0.0, 1e-9, 0.3, 1.5707963267948966, 3.141592653589793, 7.0]
    corners = [(p, q) for p in ends for q in ends if p <= q] + [(p, p + 1e-7) for p in ends]
    lower, upper = (torch.tensor([[c[side]] for c in corners], dtype=torch.float64) for side in (0, 1))
    (form,), draw = quadratic_bounds(graph, [output], lower, upper), random.Random(0)
    for box in range(len(corners)):
        for state in points(lower[box], upper[box], draw, 8):
            (value,) = exact_value(graph, output, state)
            _assert_in_form(form, box, 0, value, _place(state, lower[box], upper[box]), (operation, state))


def network(widths: list[int], seed: int) -> tuple[Graph, int]:
    """A random tanh network whose scalar output is squared and added to a product of states."""
    generator = torch.Generator().manual_seed(seed)
    graph = Graph(widths[0])
    node = graph.input
    for rows, columns in zip(widths[1:], widths[:-1], strict=True):
        weight = torch.randn(rows, columns, generator=generator, dtype=torch.float64) / columns**0.5
        node = graph.unary("tanh", graph.linear(node, weight.numpy()))
    total = graph.linear(node, torch.ones(1, widths[-1], dtype=torch.float64).numpy())
    return graph, graph.binary("mul", total, graph.take(graph.input, [0]))


def assert_within(graph: Graph, outputs: list[int], low: list[float], high: list[float]) -> None:
    """The corner, the middle and the other corner of one box are in its forms and ranges."""
    lower, upper = (torch.tensor([end], dtype=torch.float64) for end in (low, high))
    forms = quadratic_bounds(graph, outputs, lower, upper)
    for state in (low, [0.5 * p + 0.5 * q for p, q in zip(low, high, strict=True)], high):
        for output, form in zip(outputs, forms, strict=True):
            (value,) = exact_value(graph, output, state)
            _assert_in_form(form, 0, 0, value, _place(state, lower[0], upper[0]), (output, state))
            _assert_in_range(sharpened(form).range, 0, 0, value, (output, "sharpened", state))


@pytest.mark.parametrize("half", [1e-170, 1e-94, 1e-81, 1e-77, 1e-20, 1e150])
def test_parabolas_with_their_vertex_inside_tiny_boxes(half: float) -> None:
    """A²/4Q, where A² underflows though the quotient does not, or overflows."""
    graph = Graph(3)
    x, y = graph.take(graph.input, [0]), graph.take(graph.input, [1])
    square = graph.unary("square", x)
    outputs = [square, graph.unary("neg", square), graph.binary("sub", graph.unary("square", y), square)]
    for low, high in ((-half, 1e-200), (-half, 0.3 * half), (0.0, half), (-0.1 * half, half)):
        assert_within(graph, outputs, [low, low, 0.0], [high, high, 1.0])


def test_adjoints_that_underflow() -> None:
    """A remainder of 1e250 times 1e-200, then 1e-210: their product is no float64, yet 1e-160 is left."""
    graph = Graph(3)
    large = graph.binary("mul", graph.unary("sin", graph.input), graph.constant([Fraction(10) ** 250] * 3))
    small = graph.linear(large, 1e-200 * torch.ones(3, 3, dtype=torch.float64).tril().numpy())
    smaller = graph.binary("mul", small, graph.constant([Fraction(10) ** -150] * 3))
    output = graph.linear(smaller, 1e-60 * torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).numpy())
    assert_within(graph, [output], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0])
    assert_within(graph, [output], [-1.0, 0.5, -1.0], [-0.5, 1.0, 2.0])


def test_the_remainder_is_cubic_and_less_than_that_of_first_order() -> None:
    graph, output = network([3, 24, 24], 0)
    center = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)
    cubic = [quadratic_bounds(graph, [output], center - h, center + h)[0].remainder.item() for h in (0.02, 0.01)]
    first = slope_bounds(graph, [output], center - 0.02, center + 0.02)[0].remainder.item()
    assert 7 < cubic[0] / cubic[1] < 9
    assert cubic[0] < 0.1 * first


def inner_product(n: int, seed: int, turned: bool, layer_of: str = "tanh") -> tuple[Graph, int]:
    """a.b for a linear and b a layer of n states, or (M a).(M b) with an orthogonal M."""
    generator = torch.Generator().manual_seed(seed)
    graph = Graph(n)
    W, U, M = (torch.randn(n, n, generator=generator, dtype=torch.float64) for _ in range(3))
    layer = graph.unary(layer_of, graph.linear(graph.input, W.numpy()))
    a, b = graph.input, graph.linear(layer, U.numpy())
    if turned:
        a, b = (graph.linear(part, torch.linalg.qr(M)[0].numpy()) for part in (a, b))
    return graph, graph.sum(graph.binary("mul", a, b), 1)


@pytest.mark.parametrize("n", range(3, 9))
@pytest.mark.parametrize("turned", [False, True])
def test_inner_products_hold_exact_values(n: int, turned: bool) -> None:
    graph, output = inner_product(n, n, turned)
    assert graph.nodes[output].operation == "sum"
    assert_enclosed(graph, [output], n)


@pytest.mark.parametrize("n", [3, 8])
def test_what_an_inner_product_leaves_out_does_not_depend_on_the_coordinates(n: int) -> None:
    """Of third order: b is quadratic, so nothing else is left out. Product by product it is more."""
    half, found = torch.ones(1, n, dtype=torch.float64), []
    for turned in (False, True):
        graph, output = inner_product(n, 1, turned, "square")
        products = graph.nodes[output].arguments[0]
        found += [form.remainder.sum().item() for form in quadratic_bounds(graph, [output, products], -half, half)]
    assert found[2] == pytest.approx(found[0], rel=1e-9)
    assert found[0] < 0.8 * found[1] and found[2] < 0.5 * found[3]


@pytest.mark.parametrize("n", [6, 7, 8])
def test_dense_samples_of_networks_are_within_and_near_the_bounds(n: int) -> None:
    """Corners and inner states of boxes of every size; the lower bound is near the least of them on small boxes."""
    graph, output = network([n, 16, 16], n)
    generator = torch.Generator().manual_seed(n)
    for half in (1.0, 0.3, 0.1, 0.01):
        center = torch.randn(n, generator=generator, dtype=torch.float64)
        e = 2 * torch.rand(20_000, n, generator=generator, dtype=torch.float64) - 1
        e[::2] = e[::2].sign()
        x = center + half * e
        values = interval_bounds(graph, [output], x, x)[0]
        (form,) = bounds(graph, [output], (center - half)[None], (center + half)[None])
        low, high = (float(bound) for bound in form.range)
        least, most = float(values.upper.min()), float(values.lower.max())
        assert low <= least and most <= high
        if half <= 0.1:
            assert least - low < 0.1 * (most - least)


def test_a_positive_definite_quadratic_is_bounded_exactly() -> None:
    """The minimum over the cube of |L(e - e*)|²: zero for e* inside; outside, about the least of a grid."""
    generator = torch.Generator().manual_seed(1)
    for at in (torch.tensor([0.3, -0.6, 0.1]), torch.tensor([2.0, 0.5, -3.0])):
        L, at = torch.randn(3, 3, generator=generator, dtype=torch.float64), at.double()
        Q = L.T @ L
        i, j = pairs(3)
        rows = torch.cat((Q.diagonal(), 2 * Q[i, j]))[None]
        slopes, center = -2 * (Q @ at)[None], (at @ Q @ at)[None]
        bound = least(center, slopes, rows).item()
        grid = torch.cartesian_prod(*[torch.linspace(-1, 1, 41, dtype=torch.float64)] * 3)
        lowest = ((grid - at) @ L.T).square().sum(-1).min().item()
        assert bound <= lowest + 1e-9
        assert bound > (1 - 0.1) * lowest - 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_lower_bounds_of_indefinite_quadratics(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = 1 + seed % 8
    rows = torch.randn(8, n * (n + 1) // 2, generator=generator, dtype=torch.float64)
    slopes, center = (torch.randn(8, *s, generator=generator, dtype=torch.float64) for s in ((n,), ()))
    bound, (i, j) = least(center, slopes, rows), pairs(n)
    e = torch.rand(4000, n, generator=generator, dtype=torch.float64) * 2 - 1
    e = torch.where(torch.rand(4000, n, generator=generator) < 0.5, e.sign(), e)
    monomials = torch.cat((e.square(), e[:, i] * e[:, j]), 1)
    value = center[:, None] + slopes @ e.T + rows @ monomials.T
    assert (value.amin(1) >= bound).all()
    assert (bound > center - slopes.abs().sum(1) - 2 * rows.abs().sum(1)).all()


def test_what_is_not_finite_has_no_lower_bound() -> None:
    nan = torch.tensor([[float("nan"), 1.0, 1.0]], dtype=torch.float64)
    assert least(torch.ones(1), torch.ones(1, 2, dtype=torch.float64), nan).isnan().all()


def test_truncation_keeps_every_value() -> None:
    graph, output = network([3, 8, 8], 2)
    lower = torch.tensor([[-0.5, 0.1, -0.2]], dtype=torch.float64)
    upper = lower + torch.tensor([0.4, 0.8, 0.3])
    form = truncated(quadratic_bounds(graph, [output], lower, upper)[0])
    draw = random.Random(0)
    for state in points(lower[0], upper[0], draw, 40):
        e = _place(state, lower[0], upper[0])
        (value,) = exact_value(graph, output, state)
        affine = mpmath.fsum(mpmath.mpf(a) * t for a, t in zip(form.terms[0, :, 0].tolist(), [1, *e], strict=True))
        assert abs(value - affine) <= form.remainder[0, 0].item()


def test_bounds_takes_second_order_for_smooth_graphs_only() -> None:
    smooth, output = network([3, 8], 0)
    assert worthwhile(smooth, [output])
    eight, output = network([8, 8], 0)
    assert worthwhile(eight, [output])
    wide, output = network([9, 8], 0)
    assert not worthwhile(wide, [output])
    kinked = Graph(2)
    weight = torch.ones(8, 2, dtype=torch.float64).numpy()
    output = kinked.sum(kinked.unary("relu", kinked.linear(kinked.input, weight)), 1)
    assert not worthwhile(kinked, [output])
    box = torch.full((1, 2), -1.0, dtype=torch.float64), torch.full((1, 2), 0.5, dtype=torch.float64)
    assert bounds(kinked, [output], *box)[0].terms.shape == (1, 3, 1)


def test_every_rule_is_of_a_known_primitive() -> None:
    assert set(RULES) <= set(FORMS)
    assert set(EXPANSIONS) - {"reciprocal"} <= set(RULES)
