"""The loss of a region."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, ExponentialStability, Quadratic
from ctrlnet.training import Batch, LossWeights, RegionObjective, StateSampler, Trajectories

BOX = Box([-2.0, -2.0], [2.0, 2.0])


def stable(x: Tensor) -> Tensor:
    return -x


def objective(level_in_box: float, rate: float = 1.0, **weights: float) -> RegionObjective:
    """V = |x|² scaled so that its level 1 is the circle of radius `level_in_box`."""
    V = Quadratic(torch.eye(2).double() / level_in_box**2)
    states = StateSampler(BOX, (0.0, 0.0), 0)
    return RegionObjective(
        {"stability": ExponentialStability(V, rate=rate)},
        stable,
        states,
        weights=LossWeights(**weights),
        batch=Batch(uniform=256, near=32, hard=32, faces=64, pool=128),
        trajectories=Trajectories(count=4, horizon=0.5, instants=3),
    )


def test_a_stable_loop_has_no_violation() -> None:
    terms = objective(1.5)(1, 0.0)
    assert terms["violation"].item() == 0  # V falls at rate 2, asked are 1.5
    assert terms["containment"].item() == 0
    assert terms["growth"].item() > 0


def test_too_fast_a_rate_violates_everywhere() -> None:
    wanted = objective(1.5, rate=3.0)
    assert wanted(1, 0.0)["violation"].item() > 0
    assert wanted.watch()["violating"] == 1
    assert wanted.seek(1000) > 0


def test_a_region_that_leaves_the_box_is_pushed_back() -> None:
    assert objective(3.0)(1, 0.0)["containment"].item() > 0


def test_growth_fades() -> None:
    early, late = (objective(0.5)(1, share)["growth"].item() for share in (0.0, 1.0))
    assert late == pytest.approx(0.1 * early)


def test_inside_is_the_share_of_the_box() -> None:
    assert objective(1.0).watch()["inside"] == pytest.approx(torch.pi / 16, abs=0.02)


def test_a_term_of_weight_zero_is_left_out() -> None:
    assert set(objective(1.0, growth=0.0)(1, 0.0)) == {"violation", "containment"}


def test_trajectories_are_a_term() -> None:
    assert "trajectories" in objective(1.0, trajectories=1.0)(1, 0.0)
