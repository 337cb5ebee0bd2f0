"""A certificate against the simulator: true claims pass, false ones are contradicted, sampling is told apart."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from simulation.plants import Pendulum, lyapunov, saturated

from ctrlnet import NonFinite, ShapeError, Sublevel, UsageError
from ctrlnet.validation import ValidationOptions, validate_region

FEW = ValidationOptions(count=60, stored=3)
STIFFNESS, SPEED_GAIN = 3.0, 0.5
LEVEL, RATE = 0.05, 0.5  # a small region, a rate well below what the loop does


@pytest.fixture(scope="module")
def true_claim():
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    return validate_region(Pendulum(), saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=FEW)


def test_true_claim_is_confirmed(true_claim):
    assert true_claim.status == "confirmed" and true_claim.passed
    assert (true_claim.converged, true_claim.failed, true_claim.fraction) == (60, 0, 1.0)
    assert true_claim.decrease.worst_increase < 0
    assert true_claim.decrease.worst_ratio <= 1 and true_claim.decrease.above_bound == 0
    assert "60 of 60" in true_claim.summary


def test_time_to_settle_is_that_of_the_slow_mode():
    """V falls like e^(2 λ t), λ the slow eigenvalue, so that the longest time is little below ln(1e4)/2|λ|."""
    damping, stiffness = (0.1 + 0.5) / 0.0375, 1.0 / 0.0375 - 9.81 / 0.5
    slow = (-damping + math.sqrt(damping**2 - 4 * stiffness)) / 2
    settle = validate_region(Pendulum(), saturated(1.0, 0.5), lyapunov(1.0, 0.5), LEVEL, 0.5, options=FEW).settle
    assert settle.longest == pytest.approx(math.log(1e4) / (2 * -slow), rel=0.1)
    assert settle.median <= settle.p95 <= settle.longest


def test_model_gap_of_the_twin_is_rounding(true_claim):
    assert true_claim.gap["maximum"] < 1e-12
    assert true_claim.gap["count"] == 60
    assert true_claim.control.step_error <= 1e-7


def test_stored_trajectories_start_in_the_region_and_go_to_the_equilibrium(true_claim):
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    assert len(true_claim.trajectories) == 3
    for one in true_claim.trajectories:
        x = torch.tensor(one.x, dtype=torch.float64)
        assert one.outcome == "settled" and one.t[0] == 0 and len(one.t) <= 200
        assert len(one.t) == len(one.x) == len(one.u) == len(one.V)
        torch.testing.assert_close(V(x), torch.tensor(one.V, dtype=torch.float64), rtol=1e-4, atol=1e-9)
        assert one.V[0] <= LEVEL and one.V[-1] <= 1e-4 * LEVEL
        u = saturated(STIFFNESS, SPEED_GAIN)(x).numpy()
        np.testing.assert_allclose(one.u, u, rtol=1e-4, atol=1e-6)


def test_states_are_drawn_uniformly_over_the_region_by_the_seed(true_claim):
    region = Sublevel(lyapunov(STIFFNESS, SPEED_GAIN), LEVEL, Pendulum().box)
    x0 = region.sample(60, torch.Generator().manual_seed(0))
    assert [list(one.x0) for one in true_claim.trajectories] == x0[:3].tolist()


def test_file_is_plain_json_that_says_everything(true_claim, tmp_path):
    true_claim.save(tmp_path / "validation.json")
    document = json.loads((tmp_path / "validation.json").read_text())
    assert document["format"] == 1 and document["passed"] is True
    about = {name: document.pop(name) for name in ("certificate", "video", "digest")}
    assert about["certificate"] == "" and about["video"] is None and len(about["digest"]) == 64
    assert document == json.loads(json.dumps(true_claim.as_dict()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["validation.json"]


def test_unstable_policy_under_a_false_claim_is_contradicted():
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    pushed = saturated(-STIFFNESS, -SPEED_GAIN)  # the policy scaled by −1
    result = validate_region(Pendulum(), pushed, V, LEVEL, RATE, options=FEW)
    assert result.status == "contradicted" and not result.passed
    assert result.converged < 30
    assert {one.verdict for one in result.failures} == {"contradiction"}
    assert {one.repeated for one in result.failures} <= {"left", "slow"}
    assert "contradicted" in result.summary


def test_rate_faster_than_the_loop_is_contradicted():
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    result = validate_region(Pendulum(), saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, 50.0, options=FEW)
    assert result.status == "contradicted"
    assert {one.at_rate for one in result.failures} == {"slow"}


def test_trajectory_that_stops_short_of_the_equilibrium_is_contradicted():
    """A dead zone leaves V at a level above the threshold: nothing leaves the set, nothing converges."""
    policy = saturated(STIFFNESS, SPEED_GAIN)
    offset = lambda x: policy(x) + 0.02  # noqa: E731
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    options = ValidationOptions(count=8, repeats=2, stored=1, repeat_hz=2000.0)
    result = validate_region(Pendulum(), offset, V, LEVEL, 4.0, options=options)
    assert result.status == "contradicted"
    assert "slow" in {one.at_rate for one in result.failures}


def test_level_beyond_what_the_torque_can_hold_is_contradicted():
    weak = Pendulum(torque_limit=0.75)
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    level = float(V(torch.tensor([2.5, 0.0], dtype=torch.float64)))
    result = validate_region(
        weak,
        saturated(STIFFNESS, SPEED_GAIN, 0.75),
        V,
        level,
        0.3,
        options=ValidationOptions(count=60, repeats=4, repeat_hz=1000.0),
    )
    assert result.status == "contradicted"
    assert result.effort.saturated > 0.1
    assert result.effort.peak == [0.75]


def test_policy_that_needs_a_higher_rate_is_an_effect_of_sampling():
    """Stable in continuous time; at 5 Hz the held control overshoots."""
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    options = ValidationOptions(count=12, rate_hz=5.0, repeat_hz=2000.0, stored=1)
    result = validate_region(Pendulum(), saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=options)
    assert result.status == "sampling effect" and result.passed
    assert result.failed > 6
    assert {(one.repeated, one.verdict) for one in result.failures} == {("settled", "sampling")}
    assert "effect of sampling" in result.summary


def test_another_plant_in_the_simulator_shows_in_the_gap():
    heavy = Pendulum(twin_mass=0.16)
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    result = validate_region(heavy, saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=FEW)
    x, u = torch.tensor(result.gap["at"]), torch.tensor(result.gap["control"])
    lighter = float(u - 0.1 * x[1]) / 0.0375
    expected = abs(lighter) * (1 - 0.15 / 0.16) * 0.01  # difference of ω after 10 ms, to first order
    assert result.gap["maximum"] == pytest.approx(expected, rel=0.1)


def test_without_a_twin_the_equations_are_simulated(true_claim):
    V, plant = lyapunov(STIFFNESS, SPEED_GAIN), Pendulum(has_twin=False)
    result = validate_region(plant, saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=FEW)
    assert result.status == "confirmed" and result.gap is None
    assert "MuJoCo" in true_claim.simulator and "equations" in result.simulator
    assert result.settle == true_claim.settle


def test_time_that_runs_out_is_neither_pass_nor_contradiction():
    V = lyapunov(STIFFNESS, SPEED_GAIN)
    options = ValidationOptions(count=8, longest=0.1, stored=1)
    result = validate_region(Pendulum(), saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=options)
    assert result.status == "undetermined" and not result.passed
    assert result.control.horizon_capped
    assert {one.at_rate for one in result.failures} == {"unfinished"}


def test_progress_rises_to_one():
    V, told = lyapunov(STIFFNESS, SPEED_GAIN), []
    validate_region(Pendulum(), saturated(STIFFNESS, SPEED_GAIN), V, LEVEL, RATE, options=FEW, progress=told.append)
    assert told == sorted(told) and told[-1] == 1.0


def test_neural_policy_in_float32_is_simulated():
    network = torch.nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[-STIFFNESS, -SPEED_GAIN]]))
        network.bias.zero_()
    options = ValidationOptions(count=8, stored=1)
    result = validate_region(Pendulum(), network, lyapunov(STIFFNESS, SPEED_GAIN), LEVEL, RATE, options=options)
    assert result.status == "confirmed"


def test_nan_in_the_policy_is_named_with_its_state():
    broken = lambda x: x[..., :1] * float("nan")  # noqa: E731
    with pytest.raises(NonFinite, match=r"control is .nan. at x = "):
        validate_region(Pendulum(), broken, lyapunov(STIFFNESS, SPEED_GAIN), LEVEL, RATE, options=FEW)


def test_misuse_is_named():
    policy, V = saturated(STIFFNESS, SPEED_GAIN), lyapunov(STIFFNESS, SPEED_GAIN)
    with pytest.raises(UsageError, match="positive"):
        validate_region(Pendulum(), policy, V, LEVEL, -1.0, options=FEW)
    with pytest.raises(ShapeError, match="policy"):
        validate_region(Pendulum(), lambda x: x, V, LEVEL, RATE, options=FEW)
    for wrong in ({"count": 0}, {"rate_hz": float("nan")}, {"settled": 2.0}, {"rate_hz": 20_000.0}):
        with pytest.raises(UsageError):
            ValidationOptions(**wrong)
