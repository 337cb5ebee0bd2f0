"""The rules of single primitives: kinks, poles, zeros, huge and tiny boxes, what is undefined, assumed errors."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from ctrlnet.graph import Graph, gradient
from ctrlnet.prover import curves, ranges
from ctrlnet.prover.bands import BANDS, tanh_band
from ctrlnet.prover.interval import RULES, Interval, interval_bounds
from ctrlnet.prover.rounding import ELEMENTARY, TINY, UNIT
from ctrlnet.prover.slope import slope_bounds
from tests.prover.enclosure import assert_in_form, assert_in_interval, points
from tests.prover.oracle import UNARY, exact_value

ENDS = (-1e3, -40.0, -3.2, -1.0, -0.7071067811865476, -1e-3, -1e-12, 0.0, 1e-300, 1e-9, 0.3)
ENDS += (1.224744871391589, 1.5707963267948966, 3.141592653589793, 7.0, 30.0, 200.0)
PAIRS = [(a, b) for a in ENDS for b in ENDS if a <= b]
PAIRS += [(a, a + width) for a in ENDS for width in (1e-9, 1e-7, 0.1)]
PAIRS += [(a, math.nextafter(a, math.inf)) for a in ENDS] + [(math.nextafter(a, -math.inf), a) for a in ENDS]
PAIRS += [(-0.0, 0.0), (-5e-324, 5e-324), (0.0, 5e-324), (1e-310, 1e-160), (-1e7, 1e8), (1e150, 1e160)]
OPERATIONS = [(name, None) for name in sorted(BANDS)] + [("power", p) for p in (3, 4, 5, 8, 63, 64)]


@pytest.mark.parametrize(("operation", "exponent"), OPERATIONS)
def test_elementwise_rules_on_ranges_of_every_kind(operation: str, exponent: int | None) -> None:
    """One primitive at a time: kinks at the ends, tiny and huge ranges, ranges around extrema and inflections."""
    graph = Graph(1)
    output = graph.power(graph.input, exponent) if exponent else graph.unary(operation, graph.input)
    lower, upper = (torch.tensor(PAIRS, dtype=torch.float64)[:, side, None] for side in (0, 1))
    (interval,), (slope,) = interval_bounds(graph, [output], lower, upper), slope_bounds(graph, [output], lower, upper)
    draw = random.Random(0)
    for box, (a, b) in enumerate(PAIRS):
        drawn = [min(max(a + draw.random() * (b - a), a), b) for _ in range(8)]
        special = [sign * z for z in (0.0, 0.5, 1.0, 1.2247, 1.5, 3.0) for sign in (-1, 1)]
        for z in [a, b, *drawn, *(z for z in special if a <= z <= b)]:
            (value,) = exact_value(graph, output, [z])
            assert_in_interval(interval, box, 0, value, (operation, a, b, z))
            middle = 0.5 * lower[box] + 0.5 * upper[box]
            assert_in_form(slope, box, 0, value, [z], middle, lower, upper, 0)


@pytest.mark.parametrize("operation", sorted(set(BANDS) - {"floor", "step", "jump", "abs", "relu"}))
def test_bands_of_smooth_functions_err_by_the_square_of_the_width(operation: str) -> None:
    """At a regular point, on either side of zero where the function is defined there."""
    graph = Graph(1)
    output = graph.unary(operation, graph.input)
    for center in (0.4, 2.0) if operation in ("sqrt", "log") else (0.4, 2.0, -0.4, -2.0):
        at = torch.tensor([[center]], dtype=torch.float64)
        wide, narrow = (slope_bounds(graph, [output], at - h, at + h)[0].remainder.item() for h in (1e-2, 1e-3))
        assert wide < 3 * 1e-4 and narrow < 0.02 * wide


@pytest.mark.parametrize("operation", ["sin", "cos"])
@pytest.mark.parametrize("turns", [-90_001, -2, -1, 0, 1, 3, 150_000])
def test_waves_reach_one_where_their_extremes_lie(operation: str, turns: int) -> None:
    """Around an extreme, ending at it within a rounding, and beside it."""
    graph = Graph(1)
    output = graph.unary(operation, graph.input)
    for half, extreme in ((0, 1.0), (1, -1.0)):
        at = float(mpmath.pi * (2 * turns + half + (0.5 if operation == "sin" else 0)))
        for low, high, reached in ((-0.1, 0.1, True), (-0.1, 0, True), (0, 0.1, True), (0.01, 0.1, False)):
            for bounds in _both(graph, output, [at + low], [at + high]):
                end = (bounds.upper if extreme > 0 else -bounds.lower).item()
                assert end == 1 if reached else math.cos(0.01) - 1e-9 < end < 1 - 1e-5
    for bounds in _both(graph, output, [-1e300], [turns + 1e7]):
        assert bounds.lower.item() == -1 and bounds.upper.item() == 1


@pytest.mark.parametrize("guess", [math.nan, 0.0, 0.5, 1e9])
@pytest.mark.parametrize("name", ["ATAN", "ERF", "SOFTPLUS"])
def test_supporting_lines_hold_wherever_they_touch(name: str, guess: float) -> None:
    """A wrong point of contact costs width, not truth."""
    curve = getattr(curves, name)._replace(touching=lambda slope: torch.full_like(slope, guess))
    band = curves.convex_band if name == "SOFTPLUS" else curves.bent_band
    low, high = torch.tensor([[-3.0, 1.0], [-3.0, -1.0], [0.2, 3.0], [-1.0, 4.0]], dtype=torch.float64).T
    slope, middle, half = band(curve, low, high)
    z = low + (high - low) * torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    assert ((curve.value(z) - slope * z - middle).abs() < half + 1e-13).all()


def test_the_band_of_tanh_is_thin_but_for_roundings() -> None:
    """Over ranges of every size, of one float and of neighbours too, on either side of zero or around it."""
    draw = np.random.default_rng(0)
    low = draw.standard_normal(600) * 10.0 ** draw.uniform(-12, 2, 600)
    width = np.abs(low) * 10.0 ** draw.uniform(-17, 2, 600)
    width[::5], width[1::5] = 0.0, np.abs(np.spacing(low[1::5]))
    slope, middle, half = tanh_band(torch.tensor(low), torch.tensor(low + width))
    for a, b, s, m, h in zip(low, low + width, slope.tolist(), middle.tolist(), half.tolist(), strict=True):
        peak = mpmath.atanh(mpmath.sqrt(1 - mpmath.mpf(s))) if 0 < s < 1 else mpmath.mpf(0 if s else 50)
        at = [mpmath.mpf(a), mpmath.mpf(b), *(z for z in (peak, -peak) if a <= z <= b)]
        gaps = [mpmath.tanh(z) - s * z for z in at]
        size = max(abs(mpmath.tanh(z)) for z in (a, b)) + s * max(abs(a), abs(b))
        assert min(gaps) - (m - h) >= 12 * UNIT * abs(m) and m + h - max(gaps) >= 12 * UNIT * abs(m)
        assert h <= (max(gaps) - min(gaps)) / 2 + 40 * UNIT * size + 2 * TINY


@pytest.mark.parametrize(
    "name", ["exp", "log", "log1p", "tanh", "atanh", "atan", "erf", "sin", "cos", "bell", "softplus"]
)
def test_elementary_functions_err_by_less_than_assumed(name: str) -> None:
    """Relative errors over small, middling and large arguments; of sine and cosine the absolute ones."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1500, generator=generator, dtype=torch.float64) * 10.0 ** torch.linspace(-8, 1.3, 1500).double()
    if name in ("log", "log1p"):
        z = torch.cat((z.abs(), 1 + z.abs() * (name == "log"), 10.0 ** torch.linspace(-300, 300, 99).double()))
    if name == "atanh":
        z = torch.cat((torch.tanh(z), 1 - 2.0 ** -torch.arange(1.0, 54.0).double()))
        z = z[z.abs() < 1]
    function = {"bell": ranges.bell_value, "softplus": ranges.softplus_value}.get(name) or getattr(torch, name)
    exact = UNARY.get(name) or getattr(mpmath, name)
    for at, value in zip(z.tolist(), function(z).tolist(), strict=True):
        wanted = exact(mpmath.mpf(at))
        scale = 1 if name in ("sin", "cos") else abs(wanted)
        error = ELEMENTARY * (3 if name in ("bell", "softplus") else 1)
        assert abs(value - wanted) <= error * scale + TINY, at


def _close_to(exponent: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    center, half = (torch.randn(50, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    center[::5] = 0.0
    center[1::5, :2] = half[1::5, :2].abs()  # the box touches zero in two entries
    half[2::5, 1:] = 0.0
    return (center - half.abs()) * 10.0**exponent, (center + half.abs()) * 10.0**exponent


@pytest.mark.parametrize("exponent", [-310, -170, -20, 0, 20, 150, 170])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_norms_and_their_gradients(groups: int, exponent: int) -> None:
    """Boxes that hold the origin, touch it or lie beside it, where squares underflow, and where they overflow."""
    graph = Graph(4)
    outputs = [graph.norm(graph.input, groups), graph.unit(graph.input, groups)]
    lower, upper = _close_to(exponent, groups)
    intervals, slopes = interval_bounds(graph, outputs, lower, upper), slope_bounds(graph, outputs, lower, upper)
    draw = random.Random(0)
    for box in range(len(lower)):
        for state in points(lower[box], upper[box], draw, 4):
            for output, interval, slope in zip(outputs, intervals, slopes, strict=True):
                for k, value in enumerate(exact_value(graph, output, state)):
                    assert_in_interval(interval, box, k, value, state)
                    assert_in_interval(slope.range, box, k, value, state)
    unit = intervals[1]
    assert not unit.lower.isnan().any() and (unit.lower >= -1).all() and (unit.upper <= 1).all()


def test_unit_vectors_are_bounded_sharply() -> None:
    """Over [3, 4] x [4, 5]: the first entry lies between 3/√34 and 4/√32, the second between 4/√32 and 5/√34."""
    graph = Graph(2)
    corners = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([[4.0, 5.0]], dtype=torch.float64)
    (interval,) = interval_bounds(graph, [graph.unit(graph.input, 1)], *corners)
    least, most = torch.tensor([3 / 34**0.5, 4 / 32**0.5]), torch.tensor([4 / 32**0.5, 5 / 34**0.5])
    torch.testing.assert_close(interval.lower[0], least.double(), atol=1e-7, rtol=0)
    torch.testing.assert_close(interval.upper[0], most.double(), atol=1e-7, rtol=0)


def _both(graph: Graph, output: int, low: list[float], high: list[float]) -> list[Interval]:
    corners = torch.tensor([low], dtype=torch.float64), torch.tensor([high], dtype=torch.float64)
    return [interval_bounds(graph, [output], *corners)[0], slope_bounds(graph, [output], *corners)[0].range]


def test_a_touched_switch_takes_both_branches() -> None:
    """select(x, 5, -5) over boxes on either side of zero, and over boxes that end there."""
    graph = Graph(1)
    output = graph.select(graph.input, graph.constant([5]), graph.constant([-5]))
    for low, high, least, most in ((0.1, 1, 5, 5), (-1, -0.1, -5, -5), (0, 1, -5, 5), (-1, -0.0, -5, 5), (0, 0, -5, 5)):
        for bounds in _both(graph, output, [low], [high]):
            assert abs(bounds.lower.item() - least) < 1e-12 and abs(bounds.upper.item() - most) < 1e-12


@pytest.mark.parametrize("first", [True, False])
def test_one_form_for_both_branches_of_a_switch(first: bool) -> None:
    """10 x on one side and 10 x + 3 x² + 1/2 on the other: nearly parallel, with a remainder on one of them."""
    graph = Graph(1)
    ten, three, half = (graph.constant([Fraction(value)]) for value in ("10", "3", "1/2"))
    line = graph.binary("mul", ten, graph.input)
    bend = graph.binary("add", half, graph.binary("mul", three, graph.unary("square", graph.input)))
    branches = (line, graph.binary("add", line, bend))
    output = graph.select(graph.input, *(branches if first else branches[::-1]))
    corners = torch.tensor([[-1.0, 1.0], [-0.2, 1.0], [-1.0, 0.1]], dtype=torch.float64)
    lower, upper = corners[:, :1], corners[:, 1:]
    (slope,) = slope_bounds(graph, [output], lower, upper)
    assert (slope.remainder < 0.5 * (slope.range.upper - slope.range.lower)).all()
    for box, (low, high) in enumerate(corners.tolist()):
        for k in range(21):
            z = low + (high - low) * k / 20
            (value,) = exact_value(graph, output, [z])
            assert_in_form(slope, box, 0, value, [z], 0.5 * lower[box] + 0.5 * upper[box], lower, upper, k)


def test_rounding_down_jumps_at_whole_numbers_alone() -> None:
    """⌊x⌋ and its derivative over boxes between whole numbers, that end at one, and where the next float is far."""
    graph = Graph(1)
    output = graph.unary("floor", graph.input)
    slope = gradient(graph, output)
    large = 2.0**60
    for low, high, least, most in (
        (0.25, 0.75, 0, 0), (1e-300, 0.75, 0, 0), (0.25, math.nextafter(1, 0), 0, 0), (-0.75, -0.25, -1, -1),
        (0, 0.5, -1, 0), (0.5, 1, 0, 1), (1, 1, 0, 1), (-0.0, -0.0, -1, 0), (-1.5, 2.5, -2, 2),
        (large, large, large - 128, large), (-large, -large, -large - 256, -large),
    ):  # fmt: skip
        for bounds in _both(graph, output, [low], [high]):
            assert bounds.lower.item() <= least and bounds.upper.item() >= most
            assert abs(bounds.lower.item() - least) < 1e-12 and abs(bounds.upper.item() - most) < 1e-12
        for bounds in _both(graph, slope, [low], [high]):
            assert bounds.lower.isfinite().item() == bounds.upper.isfinite().item() == (least == most)
            assert least != most or abs(bounds.lower.item()) + abs(bounds.upper.item()) < 1e-200


def test_an_undefined_branch_matters_only_where_it_may_be_taken() -> None:
    """select(x, ln x, x): defined by ln for x > 0, by x for x < 0; nothing is known where x may be zero."""
    graph = Graph(1)
    output = graph.select(graph.input, graph.unary("log", graph.input), graph.input)
    for low, high, known in ((1.0, 2.0, True), (-2.0, -1.0, True), (-1.0, 1.0, False), (-1.0, 0.0, False)):
        for bounds in _both(graph, output, [low], [high]):
            assert bounds.lower.isfinite().item() == bounds.upper.isfinite().item() == known


def test_what_is_undefined_stays_undefined() -> None:
    """Every rule that gets NaN, for an argument that does not exist, gives NaN: tanh, cos and step too."""
    for operation in sorted(set(RULES) - {"take", "concatenate", "linear"}):
        graph = Graph(1)
        root = graph.unary("sqrt", graph.input)
        if operation in ("power", "norm", "unit", "sum"):
            attribute = 3 if operation == "power" else 1
            argument = root if operation == "power" else graph.concatenate([graph.input, root])
            output = getattr(graph, operation)(argument, attribute)
        elif operation == "select":
            output = graph.select(root, graph.input, graph.unary("neg", graph.input))
        elif operation in ("add", "sub", "mul", "div", "maximum", "minimum"):
            output = graph.binary(operation, graph.input, root)
        else:
            output = graph.unary(operation, root)
        for bounds in _both(graph, output, [-1.0], [4.0]):
            assert bounds.lower.isnan().all() and bounds.upper.isnan().all(), operation
        corners = torch.tensor([[-1.0]], dtype=torch.float64), torch.tensor([[4.0]], dtype=torch.float64)
        assert slope_bounds(graph, [output], *corners)[0].remainder.isnan().all(), operation


def test_what_may_not_exist_has_no_form() -> None:
    """1/x, ln x and √x where the range of x crosses or reaches what they leave out: range and remainder are NaN."""
    graph, corners = Graph(1), [torch.tensor([[end]], dtype=torch.float64) for end in (-1.0, 0.0, 4.0)]
    inverse = graph.binary("div", graph.constant([1]), graph.input)
    log, root = (graph.unary(name, graph.input) for name in ("log", "sqrt"))
    for outputs, low, high in (
        ([inverse, log, root], 0, 2), ([inverse, log, root], 0, 1), ([inverse, log], 1, 2), ([inverse, log], 1, 1)
    ):  # fmt: skip
        for form in slope_bounds(graph, outputs, corners[low], corners[high]):
            assert form.remainder.isnan().all() and form.range.lower.isnan().all() and form.range.upper.isnan().all()


def test_roots_of_sums_of_squares_exist() -> None:
    graph = Graph(3)
    squares = graph.unary("square", graph.input)
    halves = [graph.take(squares, [i]) for i in range(3)]
    by_adding = graph.binary("add", graph.binary("add", halves[0], halves[1]), halves[2])
    for total in (graph.sum(squares, 1), by_adding):
        for bounds in _both(graph, graph.unary("sqrt", total), [-1.0, 0.0, 0.0], [1.0, 2.0, 0.0]):
            assert bounds.lower.item() == 0 and 5**0.5 <= bounds.upper.item() < 2.24
