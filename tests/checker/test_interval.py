"""Interval operations contain the exact result: against fractions, and against ball arithmetic for sin, cos, ..."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlnet.checker.balls import ball_elementary
from ctrlnet.checker.functions import FUNCTIONS, Elementary, numpy_elementary, powers
from ctrlnet.checker.interval import Interval, Matrix, linear

ctx.prec = 200
ELEMENTARY = pytest.mark.parametrize("elementary", [numpy_elementary, ball_elementary], ids=["numpy", "balls"])
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -5e-324,
    1e-310,
    2.2e-308,
    1e-170,
    1e150,
    -1e150,
    1 / 3,
    0.57735026919,
    np.pi / 2,
]
NUMBERS = st.one_of(
    st.sampled_from(SPECIAL),
    st.floats(-10, 10),
    st.floats(-1e-3, 1e-3),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150),
)
SMALL = st.one_of(st.sampled_from([v for v in SPECIAL if abs(v) < 2]), st.floats(-30, 30), st.floats(-1e-6, 1e-6))


@st.composite
def intervals(draw: st.DrawFn, numbers: st.SearchStrategy[float] = NUMBERS) -> tuple[Interval, list[float]]:
    """An interval, often degenerate, and points of it: its ends and one between."""
    a, b = draw(numbers), draw(numbers)
    lo, hi = (a, a) if draw(st.integers(0, 3)) == 0 else (min(a, b), max(a, b))
    inner = min(max(lo + draw(st.floats(0, 1)) * (hi - lo), lo), hi)
    return Interval(np.array([lo]), np.array([hi])), [lo, hi, inner]


def holds(x: Interval, exact: Fraction) -> bool:
    """The exact value lies between the bounds; an infinite bound holds everything, NaN nothing is claimed of."""
    lo, hi = float(x.lo.ravel()[0]), float(x.hi.ravel()[0])
    above = lo == -np.inf or np.isnan(lo) or (np.isfinite(lo) and Fraction(lo) <= exact)
    return above and (hi == np.inf or np.isnan(hi) or (np.isfinite(hi) and exact <= Fraction(hi)))


BINARY: dict[str, tuple[Callable[..., Interval], Callable[..., Fraction]]] = {
    "add": (lambda a, b: a + b, lambda a, b: a + b),
    "sub": (lambda a, b: a - b, lambda a, b: a - b),
    "mul": (lambda a, b: a * b, lambda a, b: a * b),
    "hull": (lambda a, b: a.hull(b), lambda a, b: a),
}


@pytest.mark.parametrize("name", BINARY)
@given(intervals(), intervals())
@settings(max_examples=150, deadline=None)
def test_binary_operations_contain_every_exact_result(name: str, a: tuple, b: tuple) -> None:
    operation, exact = BINARY[name]
    result = operation(a[0], b[0])
    for x in a[1]:
        for y in b[1]:
            assert holds(result, exact(Fraction(x), Fraction(y)))


@given(intervals(), st.integers(2, 7))
@settings(max_examples=200, deadline=None)
def test_powers_squares_and_reciprocals_contain_every_exact_result(a: tuple, p: int) -> None:
    power, square, reciprocal, half = a[0].power(p), a[0].square(), a[0].reciprocal(), a[0].scaled(0.3)
    for x in map(Fraction, a[1]):
        assert holds(power, x**p) and holds(square, x * x) and holds(half, x * Fraction(0.3))
        assert holds(reciprocal, 1 / x) if x else np.isnan(reciprocal.lo[0])
    assert square.lo[0] >= 0


@given(st.lists(intervals(SMALL), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_sums_and_linear_maps_contain_every_exact_result(parts: list, random: object) -> None:
    x = Interval(np.concatenate([p[0].lo for p in parts]), np.concatenate([p[0].hi for p in parts]))
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    weight = rng.normal(size=(3, len(parts))) * rng.choice([0.0, 1.0, 1e-200, 1e8], size=(3, len(parts)))
    loose = weight + rng.choice([0.0, 1e-16, 0.1], size=weight.shape)
    certain, wide = linear(x[None], Matrix.of(weight, weight)), linear(x[None], Matrix.of(weight, loose))
    for pick in range(3):
        point = [Fraction(p[1][pick]) for p in parts]
        assert holds(x[None].sum(), sum(point, Fraction(0)))
        for row in range(3):
            for matrix, results in ((weight, (certain, wide)), (loose, (wide,))):
                terms = [Fraction(w) * v for w, v in zip(matrix[row].tolist(), point, strict=True)]
                assert all(holds(result[0, row : row + 1], sum(terms, Fraction(0))) for result in results)


def test_a_zero_weight_does_not_hide_what_is_unbounded() -> None:
    unbounded = Interval(np.array([[-np.inf, 1.0], [np.nan, 1.0]]), np.array([[np.inf, 1.0], [np.nan, 1.0]]))
    result = linear(unbounded, Matrix.of(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])))
    assert not (np.isfinite(result.lo) | np.isfinite(result.hi)).any()


def test_a_second_enclosure_improves_bounds_but_never_defines_what_is_undefined() -> None:
    nan, inf = np.nan, np.inf
    first = Interval(np.array([0.0, -inf, nan, 1.0]), np.array([4.0, inf, nan, 2.0]))
    second = Interval(np.array([1.0, 2.0, 3.0, nan]), np.array([3.0, 5.0, 4.0, nan]))
    found = first.within(second)
    assert np.array_equal(found.lo, [1.0, 2.0, nan, 1.0], equal_nan=True)
    assert np.array_equal(found.hi, [3.0, 5.0, nan, 2.0], equal_nan=True)


def ball_sech2(x: arb) -> arb:
    return 1 - x.tanh() ** 2


def ball_softplus(x: arb) -> arb:
    return (-abs(x)).exp().log1p() + (x if x > 0 else arb(0))


def ball_logistic(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


def ball_bell(x: arb) -> arb:
    return 2 / arb.pi().sqrt() * (-x * x).exp()


EXACT: dict[str, tuple[Callable[[arb], arb], ...]] = {
    "sin": (arb.sin, arb.cos, lambda x: -x.sin()),
    "cos": (arb.cos, lambda x: -x.sin(), lambda x: -x.cos()),
    "tanh": (arb.tanh, ball_sech2, lambda x: -2 * x.tanh() * ball_sech2(x)),
    "exp": (arb.exp, arb.exp, arb.exp),
    "log": (arb.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "sqrt": (arb.sqrt, lambda x: 1 / (2 * x.sqrt()), lambda x: -1 / (4 * x * x.sqrt())),
    "atan": (arb.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "erf": (arb.erf, ball_bell, lambda x: -2 * x * ball_bell(x)),
    "softplus": (ball_softplus, ball_logistic, lambda x: ball_logistic(x) * ball_logistic(-x)),
    "square": (lambda x: x * x, lambda x: 2 * x, lambda x: arb(2)),
    "power": (lambda x: x**5, lambda x: 5 * x**4, lambda x: 20 * x**3),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
}


def test_the_table_of_functions_is_tested_whole() -> None:
    assert set(EXACT) | {"relu", "abs", "floor"} == set(FUNCTIONS) | {"power"}


@ELEMENTARY
@pytest.mark.parametrize("name", EXACT)
@given(intervals(st.one_of(SMALL, st.floats(-1e4, 1e4))))
@settings(max_examples=150, deadline=None)
def test_functions_and_derivatives_contain_the_exact_values(name: str, elementary: Elementary, a: tuple) -> None:
    x, points = a
    row = powers(5) if name == "power" else FUNCTIONS[name]
    y = row.value(x, elementary)
    found = y, row.first(x, y, elementary), row.second(x, y, elementary)
    for point in points:
        for interval, exact in zip(found, EXACT[name], strict=True):
            value = exact(arb(point))
            if value.is_finite():
                assert np.isnan(interval.lo[0]) or not value < arb(float(interval.lo[0]))
                assert np.isnan(interval.hi[0]) or not value > arb(float(interval.hi[0]))


@ELEMENTARY
def test_enclosures_are_tight(elementary: Elementary) -> None:
    x = Interval(np.array([0.3, 1.2, 0.1]), np.array([0.4, 2.0, 0.2]))
    for name in ("sin", "cos", "tanh", "exp", "log", "sqrt", "atan", "erf", "softplus"):
        y = FUNCTIONS[name].value(x, elementary)
        dense = np.array([float(EXACT[name][0](arb(v)).mid()) for v in np.linspace(x.lo[0], x.hi[0], 50)])
        assert abs(y.lo[0] - dense.min()) < 1e-14 and abs(y.hi[0] - dense.max()) < 1e-14


def test_crests_of_sin_and_cos_are_found_at_every_quarter_turn() -> None:
    for k in range(-2000, 2000, 7):
        for width in (0.0, 1e-15, 1e-9, 0.4, 2.0, 5.0):
            centre = k * np.pi / 2
            x = Interval(np.array([centre - width]), np.array([centre + width / 3]))
            for name, reference in (("sin", np.sin), ("cos", np.cos)):
                y = FUNCTIONS[name].value(x, numpy_elementary)
                dense = reference(np.linspace(x.lo[0], x.hi[0], 101))
                assert y.lo[0] <= dense.min() and dense.max() <= y.hi[0]
                assert y.lo[0] > dense.min() - 0.02 and y.hi[0] < dense.max() + 0.02


def test_large_arguments_of_sin_are_only_known_to_lie_between_minus_one_and_one() -> None:
    x = Interval(np.array([1e300, 2.0**21, -np.inf, np.nan]), np.array([1e300, 2.0**21, np.inf, np.nan]))
    y = FUNCTIONS["sin"].value(x, numpy_elementary)
    assert y.lo[:3].tolist() == [-1.0] * 3 and y.hi[:3].tolist() == [1.0] * 3
    assert np.isnan(y.lo[3]) and np.isnan(y.hi[3])


@pytest.mark.parametrize(("name", "left"), [("relu", 0.0), ("abs", -1.0)])
def test_kinks_are_touched_by_equality_too(name: str, left: float) -> None:
    row = FUNCTIONS[name]
    x = Interval(np.array([0.0, -1.0, 0.0, -1.0, 1.0]), np.array([0.0, 0.0, 1.0, -0.5, 2.0]))
    y = row.value(x, numpy_elementary)
    first, second = row.first(x, y, numpy_elementary), row.second(x, y, numpy_elementary)
    assert first.lo.tolist() == [left, left, left, left, 1.0]
    assert first.hi.tolist() == [1.0, 1.0, 1.0, left, 1.0]
    assert second.hi.tolist() == [np.inf, np.inf, np.inf, 0.0, 0.0]


def test_rounding_down_takes_both_sides_of_a_jump() -> None:
    """Of whole numbers, of floats beside them, beyond 2^53 where k - 1 is no float, and of what is not bounded."""
    row, large, inf = FUNCTIONS["floor"], 2.0**60, np.inf
    table = [(1.0, 1.0, 0, 1), (0.0, 0.5, -1, 0), (0.5, 1.0, 0, 1), (np.nextafter(1, 0), np.nextafter(1, 0), 0, 0),
             (np.nextafter(1, 2), 1.5, 1, 1), (-0.5, -5e-324, -1, -1), (-2.5, 3.5, -3, 3), (-inf, -0.5, -inf, -1),
             (large, large, large - 128, large), (-large, -large, -large - 256, -large)]  # fmt: skip
    lo, hi, low, high = np.array(table).T
    x = Interval(lo, hi)
    y = row.value(x, numpy_elementary)
    assert (y.lo <= low).all() and (y.hi >= high).all()
    assert y.lo[:8].tolist() == low[:8].tolist() and y.hi.tolist() == high.tolist()
    for derivative in (row.first, row.second):
        found = derivative(x, y, numpy_elementary)
        assert found.lo.tolist() == (-found.hi).tolist() == np.where(low == high, 0.0, -inf).tolist()


def test_numpy_is_as_accurate_here_as_the_checker_assumes() -> None:
    """Evidence for the assumption that is printed with every theorem, on this processor."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-20, 20, 4000), rng.uniform(-1e6, 1e6, 1000), np.arange(1, 500) * np.pi / 2])
    points = np.concatenate([points, rng.choice([-1, 1], 500) * 10 ** rng.uniform(-300, 0, 500)])
    for name in ("sin", "cos", "tanh", "exp", "log", "atan", "erf", "softplus"):
        x = np.clip(points, -700, 700) if name == "exp" else np.abs(points) if name == "log" else points
        ours, truth = numpy_elementary(name, x), ball_elementary(name, x)
        assert (ours[0] <= truth[0] + 1e-300).all() and (truth[1] - 1e-300 <= ours[1]).all()
        assert (ours[1] - ours[0] <= 1e-14 * np.maximum(np.abs(truth[0]), name in ("sin", "cos")) + 3e-300).all()


@pytest.mark.parametrize(("name", "place"), [("tanh", np.arctanh(1 / np.sqrt(3))), ("atan", 1 / np.sqrt(3)),
                                             ("erf", 1 / np.sqrt(2))])  # fmt: skip
def test_extremes_of_second_derivatives_are_found_within_one_unit_in_the_last_place(name: str, place: float) -> None:
    """Boxes that touch the extreme, end beside it, or hold it deep inside; the range is hardly wider."""
    row, second = FUNCTIONS[name], EXACT[name][2]
    for centre in (place, -place):
        for below in (0.0, 1e-16, 2e-16, 1e-12, 1e-9, 1e-7, 0.3):
            for above in (0.0, 1e-16, 2e-16, 1e-12, 1e-9, 1e-7, 0.3):
                x = Interval(np.array([centre - below]), np.array([centre + above]))
                y = row.value(x, numpy_elementary)
                found = row.second(x, y, numpy_elementary)
                dense = [second(arb(v)) for v in np.linspace(x.lo[0], x.hi[0], 7)]
                if x.lo[0] <= centre <= x.hi[0]:
                    dense.append(second(arb(centre)))
                assert not any(v < arb(found.lo[0]) or v > arb(found.hi[0]) for v in dense)
                sharp = [float(v.mid()) for v in dense]
                assert found.lo[0] > min(sharp) - 0.05 * below - 0.05 * above - 1e-7
                assert found.hi[0] < max(sharp) + 0.05 * below + 0.05 * above + 1e-7


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unbounded_and_undefined_arguments_never_give_wrong_bounds(name: str) -> None:
    inf, nan, row = np.inf, np.nan, FUNCTIONS[name]
    x = Interval(np.array([-inf, 0.0, 1.0, -inf, nan, 1.0, nan]), np.array([inf, inf, inf, -1.0, nan, nan, 1.0]))
    y = row.value(x, numpy_elementary)
    assert (np.isnan(y.lo[4:]) | np.isnan(y.hi[4:])).all()
    jets = y, row.first(x, y, numpy_elementary), row.second(x, y, numpy_elementary)
    for k, points in enumerate(([-1e3, -1.0, 0.5, 30.0], [0.5, 1e3], [1.5, 1e300], [-1e300, -2.0])):
        for point in points if name in EXACT else ():
            for interval, exact in zip(jets, EXACT[name], strict=True):
                lo, hi, value = (
                    np.broadcast_to(interval.lo, 7)[k],
                    np.broadcast_to(interval.hi, 7)[k],
                    exact(arb(point)),
                )
                assert not value < arb(lo) and not value > arb(hi)


@given(intervals())
@settings(max_examples=150, deadline=None)
def test_roots_contain_every_exact_result(a: tuple) -> None:
    root = a[0].sqrt()
    assert np.isnan(root.lo[0]) == np.isnan(root.hi[0]) == (a[1][0] < 0)
    for x in map(Fraction, a[1] if a[1][0] >= 0 else ()):
        assert root.lo[0] >= 0 and Fraction(root.lo[0]) ** 2 <= x <= Fraction(root.hi[0]) ** 2
