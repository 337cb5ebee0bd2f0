"""Certificates about a policy with a state of its own, against the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ctrlnet_envs.pendulum_dynamic import DynamicPendulum
from torch import Tensor

from ctrlnet import RenderingUnavailable, Sublevel
from ctrlnet.validation import ValidationOptions, film, validate_region
from ctrlnet.validation.starting import starts

FEW = ValidationOptions(count=60, stored=3)
LEVEL, RATE = 0.05, 0.5
PENDULUM = DynamicPendulum()
GAIN, P = PENDULUM.linear_feedback()


def policy(y: Tensor) -> Tensor:
    limits = PENDULUM.whole.system.limits
    assert limits is not None
    return torch.minimum(torch.maximum(-y @ GAIN.T, limits.lower), limits.upper)


def V(y: Tensor) -> Tensor:
    return ((y @ P) * y).sum(-1)


def test_starts_are_uniform_over_the_slice_at_rest() -> None:
    own, box = PENDULUM.memory, PENDULUM.whole.box
    y = starts(V, LEVEL, box, own, 4000, 0)
    assert y.shape == (4000, 3) and not bool(y[:, 2].any())
    assert bool(Sublevel(V, LEVEL, box).contains(y).all())
    slice_ = P[:2, :2] / LEVEL  # an ellipse: the mean of x xᵀ over it is a quarter of the inverse of its matrix
    torch.testing.assert_close(y[:, :2].T @ y[:, :2] / 4000, torch.linalg.inv(slice_) / 4, rtol=0.1, atol=1e-4)


@pytest.mark.parametrize("period", [100.0, 400.0])
def test_a_true_claim_is_confirmed(period: float) -> None:
    result = validate_region(PENDULUM, policy, V, LEVEL, RATE, options=ValidationOptions(count=60, rate_hz=period))
    assert result.status == "confirmed" and result.converged == 60
    assert result.gap is not None and result.gap["maximum"] < 1e-12
    assert result.state == (("θ", "rad"), ("ω", "rad/s"), ("z", "1")) and result.controls == (("u", "N·m"),)
    assert "at rest, z = 0" in result.definition["states"] and "Euler" in result.definition["states"]
    assert result.effort.peak[0] <= 6 and len(result.effort.peak) == 1


def test_what_is_stored_are_joint_states_and_the_plants_control() -> None:
    for one in validate_region(PENDULUM, policy, V, LEVEL, RATE, options=FEW).trajectories:
        y, u = torch.tensor(one.x, dtype=torch.float64), torch.tensor(one.u, dtype=torch.float64)
        assert one.x[0][2] == 0 and y.shape[1] == 3
        torch.testing.assert_close(policy(y)[:, :1], u, rtol=1e-4, atol=1e-6)


def test_a_false_claim_is_contradicted() -> None:
    result = validate_region(PENDULUM, policy, V, LEVEL, 50.0, options=FEW)
    assert result.status == "contradicted" and not result.passed


@pytest.mark.render
def test_a_film(tmp_path: Path) -> None:
    result = validate_region(PENDULUM, policy, V, LEVEL, RATE, options=FEW)
    try:
        film(PENDULUM, policy, result, tmp_path / "video.mp4", seconds=0.5)
    except RenderingUnavailable as reason:
        pytest.skip(str(reason))
    assert (tmp_path / "video.mp4").stat().st_size > 1000
