"""Linear coordinates: exact to the last digit, and what is proved in y is what is true in x."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrlnet import (
    BarrierInvariance,
    Box,
    ClosedLoop,
    Coordinates,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    Quadratic,
    ShapeError,
    StayWithin,
    System,
    UltimateBound,
    UsageError,
    certify,
    exact,
    violation,
)
from ctrlnet.graph import Graph, trace
from tests.prover.plants import pendulum, quadratic

THIN = torch.tensor([[4.0, 1.9], [1.9, 1.0]], dtype=torch.float64)  # an ellipsoid six times as long as it is wide
AT = (exact("0.1"), exact("-0.3"))


def rationals(matrix):
    return [[Fraction(value) for value in row] for row in matrix.tolist()]


def product(a, b):
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a]


def shifted(function):
    return lambda x: function(torch.stack([x[..., 0] - AT[0], x[..., 1] - AT[1]], -1))


@given(st.integers(1, 7), st.integers(0, 10**6), st.integers(0, 6))
def test_the_change_is_exact_and_rounds_the_ellipsoid(n, seed, spread):
    """T T⁻¹ = I in rationals for shapes of any size and condition; TᵀPT is near the identity for moderate ones."""
    generator = torch.Generator().manual_seed(seed)
    orthogonal = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    P = orthogonal * 10.0 ** (spread * (torch.rand(n, generator=generator, dtype=torch.float64) - 0.5)) @ orthogonal.T
    change = Coordinates(P)
    identity = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    assert product(rationals(change.T), rationals(change.inverse)) == identity
    assert product(rationals(change.inverse), rationals(change.T)) == identity
    if n <= 4 and spread <= 3:
        values = torch.linalg.eigvalsh(change.T.T @ change.P @ change.T)
        assert values.max() / values.min() < 6


def weak(x):
    """The pendulum with so little torque that it falls from not far away."""
    return pendulum(x, limit=1.0)


def test_states_go_there_and_back():
    change = Coordinates(THIN, AT)
    x = Box([-3, -3], [3, 3]).sample(100)
    assert torch.allclose(change.x(change.y(x)), x, rtol=0, atol=1e-13)
    assert torch.equal(change.x(torch.zeros(2, dtype=torch.float64)), torch.tensor([0.1, -0.3], dtype=torch.float64))


def test_a_trace_holds_the_rationals():
    """x* + T y as a proof reads it is x* + T y, not what a computation rounds it to."""
    change = Coordinates(THIN, AT)
    graph, node = trace(change.x, 2, Box([-1, -1], [1, 1]).sample(64), (2,))
    moved = Graph(2)
    (there,) = graph.copy_into(moved, [node], moved.constant([Fraction(1), Fraction(1, 2)]))
    held = moved.held(there)
    rows = rationals(change.T)
    for row, at, value in zip(rows, AT, held.fractions, strict=True):
        assert value == row[0] + row[1] / 2 + Fraction(at)


def test_a_level_set_is_the_same_in_both():
    """The largest levels proved agree, and the state that limits the one in y does so in x: V rises there."""
    condition = ExponentialStability(quadratic, exact("0.1"))
    change = Coordinates.of(quadratic, (0, 0))
    here = certify(condition, weak, Box([-2, -8], [2, 8]))
    there = certify(change.condition(condition), change.system(weak), change.box(1.5 * here.level))
    assert here.status == there.status == "certified"
    assert there.level == pytest.approx(here.level, rel=0.02)
    state = change.x(there.limiting_state)
    assert float(quadratic(state)) == pytest.approx(there.sampled_level, rel=1e-9)
    assert violation(condition, weak, state[None]) > 0


def test_the_box_holds_the_level_set():
    change = Coordinates(THIN)
    x = change.x(change.box(2.0).boundary(10_000))
    least = float((x @ THIN * x).sum(-1).min())
    assert 2 < least < 2.5  # and the box is not much larger


def test_an_equilibrium_off_the_origin_moves_to_it():
    """x* = (1/10, -3/10) is no float: F and V vanish at y = 0 by rational identity, or nothing would be certified."""
    V = shifted(quadratic)
    change = Coordinates.of(V, AT)
    moved = change.condition(ExponentialStability(V, exact("0.1"), at=AT))
    assert moved.at is None
    assert certify(moved, change.system(shifted(pendulum)), change.box(2)).level > 2
    other = change.condition(ExponentialStability(V, exact("0.1")))  # x* = 0 lies elsewhere in y
    assert product(rationals(change.T), [[Fraction(v)] for v in other.at]) == [[-Fraction(v)] for v in AT]


def test_every_condition_and_every_system_of_its_kind():
    change = Coordinates(THIN, AT)
    x = Box([-1, -1], [1, 1]).sample(50)
    y, push = change.y(x), Box([-1], [1])
    d = push.sample(50)

    def field(x):
        return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)

    def pushed(x, d):
        return field(x) + torch.cat([torch.zeros_like(d), d], -1)

    for condition in (
        UltimateBound(quadratic, 0.1, 2),
        DiscreteDecrease(quadratic, 0.1),
        ExponentialStability(quadratic, 1),
    ):
        assert torch.allclose(change.condition(condition).V(y), quadratic(x))
    for barrier in (BarrierInvariance(quadratic, 1), NagumoInvariance(quadratic), HighOrderInvariance(quadratic, (1,))):
        assert torch.allclose(change.condition(barrier).h(y), quadratic(x))
    both = change.condition((UltimateBound(quadratic, 0.1), [BarrierInvariance(quadratic, 1)]))
    assert type(both[0]) is UltimateBound and type(both[1][0]) is BarrierInvariance
    assert torch.allclose(change.system(field)(y) @ change.T.T, field(x))
    disturbed = change.system(Disturbed(pushed, push))
    assert disturbed.disturbance is push and torch.allclose(disturbed(y, d) @ change.T.T, pushed(x, d))
    assert torch.allclose(change.x(change.system(DiscreteMap(field))(y)), field(x))
    shaken = change.system(DiscreteMap(pushed, push))
    assert shaken.disturbance is push and torch.allclose(change.x(shaken(y, d)), pushed(x, d))


def test_a_held_control_stays_held():
    plant = System(
        lambda x: torch.stack([x[..., 1], -x[..., 0]], -1),
        lambda x: torch.stack([torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])], -2),
        state=[("p", "m"), ("v", "m/s")],
        control=[("u", "N")],
    )
    loop, change = ClosedLoop(plant, lambda x: -x[..., 1:], period=0.1), Coordinates(THIN)
    moved, x = change.system(loop), Box([-1, -1], [1, 1]).sample(50)
    assert moved.period == 0.1 and torch.allclose(moved(change.y(x)) @ change.T.T, loop(x))
    condition = ExponentialStability(
        Quadratic(torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)), exact("0.1")
    )
    assert certify(change.condition(condition), moved, change.box(1)).status == "certified"


def test_of_takes_the_shape_from_v():
    assert torch.allclose(Coordinates.of(Quadratic(THIN, at=AT)).P, THIN)
    assert Coordinates.of(Quadratic(THIN, at=AT)).at == tuple(map(Fraction, (0.1, -0.3)))  # the candidate's own floats
    assert torch.allclose(Coordinates.of(lambda x: 1 - torch.cos(x[..., 0]) + x[..., 1] ** 2, (0, 0)).P.diagonal(),
                          torch.tensor([0.5, 1.0], dtype=torch.float64))  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "error", "words"),
    [
        (lambda: Coordinates(-THIN), UsageError, "positive definite"),
        (lambda: Coordinates(THIN + torch.tensor([[0.0, 0.5], [0.0, 0.0]])), UsageError, "symmetric"),
        (lambda: Coordinates(THIN[0]), ShapeError, "matrix"),
        (lambda: Coordinates(THIN, (0, 0, 0)), ShapeError, "3 entries"),
        (lambda: Coordinates.of(quadratic), UsageError, "at="),
        (lambda: Coordinates.of(lambda x: (x**4).sum(-1), (0, 0)), UsageError, "Hessian"),
        (lambda: Coordinates(THIN).condition(StayWithin(Box([-1, -1], [1, 1]))), UsageError, "StayWithin"),
        (lambda: Coordinates(THIN).condition(quadratic), UsageError, "ExponentialStability"),
        (lambda: Coordinates(THIN).system(3), UsageError, "closed loop"),
        (lambda: Coordinates(THIN).box(-1), UsageError, "level"),
        (lambda: Coordinates(THIN).box(1, room=0.9), UsageError, "room"),
        (lambda: Coordinates(THIN).x(torch.zeros(3)), ShapeError, "last dimension"),
    ],
)
def test_what_is_refused(attempt, error, words):
    with pytest.raises(error, match=words):
        attempt()


def test_the_pages_example_runs():
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(block, "docs/scale.md", "exec", dont_inherit=True), {"__name__": "docs"})
