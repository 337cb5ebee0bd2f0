"""Boxes, balls, sublevel sets: geometry, samplers, errors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrlnet import Ball, Box, NonFinite, ShapeError, Sublevel, UsageError, exact
from ctrlnet.sets import check_states


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_box_geometry() -> None:
    box = Box([-1, 0], [3, exact("0.5")])
    assert box.dimension == 2
    assert box.center.tolist() == [1, 0.25]
    assert box.half_widths.tolist() == [2, 0.25]
    assert box.volume == 2
    assert repr(box) == "Box([-1.0, 0.0], [3.0, 0.5])"
    assert box == Box(torch.tensor([-1.0, 0.0]), [3, 0.5])
    assert box != Box([-1, 0], [3, 0.6])
    assert hash(box) == hash(Box([-1, 0], [3, 0.5]))


def test_box_contains_is_closed_and_exact() -> None:
    box = Box([0.1], [0.3])
    above = torch.tensor([0.3], dtype=torch.float64).nextafter(torch.tensor(1.0, dtype=torch.float64))
    assert bool(box.contains(torch.tensor([0.1], dtype=torch.float64)))
    assert not bool(box.contains(above))
    assert box.contains(torch.zeros(4, 5, 1)).shape == (4, 5)
    assert not bool(box.contains(torch.tensor([math.nan])))


def test_box_grid_holds_corners_in_order() -> None:
    grid = Box([0, 10], [1, 12]).grid(3)
    assert grid.shape == (9, 2)
    assert grid[:4].tolist() == [[0, 10], [0, 11], [0, 12], [0.5, 10]]
    assert grid[-1].tolist() == [1, 12]


def test_samples_are_inside_uniform_and_reproducible() -> None:
    box = Box([-2, 5], [2, 6])
    x = box.sample(20_000, seeded())
    assert bool(box.contains(x).all())
    assert torch.equal(x, box.sample(20_000, seeded()))
    assert torch.allclose(x.mean(0), box.center, atol=0.05)
    assert torch.allclose(x.var(0), box.half_widths**2 / 3, rtol=0.05)


def test_boundary_states_lie_on_every_face() -> None:
    box = Box([-2, 5, 0], [2, 6, 1])
    x = box.boundary(600, seeded())
    on_lower, on_upper = x == box.lower, x == box.upper
    assert bool((on_lower | on_upper).any(-1).all())
    assert int(on_lower.sum(0).min()) > 50
    assert int(on_upper.sum(0).min()) > 50


def test_ball_volume_and_samples() -> None:
    assert math.isclose(Ball([0], 2).volume, 4)
    assert math.isclose(Ball([0, 0], 2).volume, 4 * math.pi)
    assert math.isclose(Ball([0, 0, 0], 2).volume, 32 / 3 * math.pi)
    ball = Ball([1, -1], 0.5)
    x = ball.sample(20_000, seeded())
    radii = (x - ball.center).square().sum(-1).sqrt()
    assert bool(ball.contains(x).all())
    assert math.isclose(float((radii < 0.25).double().mean()), 0.25, abs_tol=0.02)
    edge = (ball.boundary(100, seeded()) - ball.center).square().sum(-1).sqrt()
    assert torch.allclose(edge, torch.full_like(edge, 0.5), rtol=1e-12)


def test_sublevel_of_a_disc() -> None:
    disc = Sublevel(lambda x: x.square().sum(-1), 0.25, Box([-1, -1], [1, 1]))
    estimate, error = disc.volume(200_000, seeded())
    assert abs(estimate - math.pi / 4) < 4 * error < 0.02
    x = disc.sample(500, seeded())
    assert x.shape == (500, 2)
    assert bool(disc.contains(x).all())
    assert disc.sample(0).shape == (0, 2)


def test_sublevel_too_small_to_sample() -> None:
    with pytest.raises(UsageError, match="smaller box"):
        Sublevel(lambda x: x.square().sum(-1), 1e-12, Box([-1, -1], [1, 1])).sample(1, seeded())


@pytest.mark.parametrize(
    ("lower", "upper", "error", "words"),
    [
        ([0, 1], [1, 1], UsageError, "axis 1"),
        ([0], [1, 2], ShapeError, "entries"),
        ([0, math.nan], [1, 1], NonFinite, "finite"),
        ([0], [math.inf], NonFinite, "finite"),
        ([], [], ShapeError, "shape"),
        (torch.zeros(1, 1), torch.ones(1, 1), ShapeError, "shape"),
        (["a"], [1], UsageError, "sequence of numbers"),
    ],
)
def test_wrong_boxes(lower: object, upper: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Box(lower, upper)  # type: ignore[arg-type]


def test_wrong_states() -> None:
    with pytest.raises(ShapeError, match="must be 2"):
        Box([0, 0], [1, 1]).contains(torch.zeros(3))
    with pytest.raises(ShapeError, match=r"int64.*double"):
        check_states(torch.zeros(2, dtype=torch.int64), 2)
    with pytest.raises(UsageError, match="at least 2"):
        Box([0], [1]).grid(1)
    with pytest.raises(UsageError, match="radius"):
        Ball([0], 0)
    with pytest.raises(ShapeError, match="V maps"):
        Sublevel(lambda x: x, 1, Box([0], [1])).volume(10)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=4), st.integers(0, 99))
def test_every_box_holds_its_samples(sides: list[tuple[float, float]], seed: int) -> None:
    box = Box([low for low, _ in sides], [low + width for low, width in sides])
    assert bool(box.contains(box.sample(20, seeded(seed))).all())
    assert bool(box.contains(box.boundary(20, seeded(seed))).all())
    assert bool(box.contains(box.center))
