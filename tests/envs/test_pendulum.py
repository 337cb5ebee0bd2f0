"""The pendulum: its equations, its numbers, its training."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from ctrlnet_envs.pendulum import DAMPING, GRAVITY, INERTIA, LENGTH, MASS, Pendulum

import ctrlnet
from ctrlnet import Run, UsageError, certify, train
from ctrlnet.tasks import rebuild

LIMITS = [6.0, 0.75]


@pytest.mark.parametrize("limit", LIMITS)
def test_dynamics_are_the_equation(limit: float) -> None:
    plant = ctrlnet.make("pendulum", torque_limit=limit).system
    x = torch.tensor([[0.3, -1.0], [3.0, 7.0], [-11.0, 0.5]], dtype=torch.float64)
    u = torch.tensor([[0.5], [-0.7], [0.0]], dtype=torch.float64)
    m, l, b, g = 0.15, 0.5, 0.1, 9.81
    for (theta, omega), torque, (rate, acceleration) in zip(
        x.tolist(), u[:, 0].tolist(), plant(x, u).tolist(), strict=True
    ):
        assert rate == omega
        wanted = g / l * math.sin(theta) - b / (m * l**2) * omega + torque / (m * l**2)
        assert acceleration == pytest.approx(wanted, rel=1e-14)


def test_constants_are_exact_decimals() -> None:
    assert (Fraction(3, 20), Fraction(1, 2), Fraction(1, 10), Fraction(981, 100)) == (MASS, LENGTH, DAMPING, GRAVITY)
    assert (Fraction(981, 50), Fraction(8, 3), Fraction(80, 3)) == (GRAVITY / LENGTH, DAMPING / INERTIA, 1 / INERTIA)


def test_the_origin_is_an_equilibrium_of_every_policy() -> None:
    for limit in LIMITS:
        for seed in range(3):
            environment = Pendulum(limit)
            origin = torch.zeros(2, dtype=torch.float64)
            loop = ctrlnet.ClosedLoop(environment.system, environment.policy(seed))
            V = environment.candidates(seed)["V"]
            assert loop(origin).tolist() == [0.0, 0.0]
            assert V(origin).item() == 0.0


def test_the_policy_keeps_its_limits() -> None:
    environment = Pendulum(0.75)
    u = environment.policy(0)(environment.box.sample(1000, torch.Generator().manual_seed(0)))
    assert u.abs().max().item() <= 0.75


def test_candidates_start_with_level_one_touching_the_box() -> None:
    environment = Pendulum()
    R = environment.candidates(0)["V"].R.detach()
    faces = environment.box.boundary(100_000, torch.Generator().manual_seed(0))
    assert float((faces @ R.T).square().sum(-1).min()) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(("limit", "area"), [(0.75, 564.46), (6.0, 572.94)])
def test_null_controllable_area(limit: float, area: float) -> None:
    assert Pendulum(limit).null_controllable_area == pytest.approx(area, abs=0.01)
    assert Pendulum(0.7).null_controllable_area is None


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_cannot_be_meant(limit: float) -> None:
    with pytest.raises(UsageError, match="torque_limit"):
        Pendulum(limit)


def test_a_wrong_parameter_is_told() -> None:
    with pytest.raises(UsageError, match="torque_limit"):
        ctrlnet.make("pendulum", torque_limt=1.0)


def test_a_run_is_rebuilt_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(Pendulum().recipe, steps=5, imitation_steps=5, repairs=0)
    monkeypatch.setattr(Pendulum, "recipe", property(lambda self: quick))
    run = train(Pendulum(0.75), out=tmp_path / "run")
    rebuilt = rebuild(Run(tmp_path / "run"))
    assert rebuilt.environment == Pendulum(0.75)
    wanted = run.policy_weights()
    assert all(torch.equal(one, wanted[name]) for name, one in rebuilt.policy.state_dict().items())
    assert list(rebuilt.conditions) == ["stability"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seed", range(3))
def test_the_recipe_reaches_a_large_region(tmp_path: Path, limit: float, seed: int) -> None:
    """Most of what a million states allow is proved, and it is most of the null-controllable area of about 565."""
    rebuilt = rebuild(train(Pendulum(limit), seed=seed, out=tmp_path / "run"))
    condition, box = rebuilt.conditions["stability"], rebuilt.box
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        reached = float(condition.V(box.boundary(50_000, generator)).min())
        x = box.sample(1_000_000, generator)
        V, margin = condition.V(x), condition.clauses(rebuilt.system)[0].margin(x)
    level = min([reached, *V[margin <= 0].tolist()])
    verdict = certify(condition, rebuilt.system, box)
    assert verdict.status == "certified"
    assert 0.97 * level <= verdict.level < level
    assert box.volume * float((verdict.level >= V).double().mean()) > 450
    assert certify(condition, rebuilt.system, box, level=1.05 * level).status == "falsified"
