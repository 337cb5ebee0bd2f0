"""The Gymnasium face: registration, Gymnasium's own checker, dynamics, reward, ends, seeds, pictures."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from simulation.plants import Pendulum

import ctrlnet.gym as ctrlnet_gym
from ctrlnet import NameNotFound, UsageError, names, odeint, plugins

ID = "ctrlnet.gym:ctrlnet/pendulum-v0"


@pytest.fixture
def pendulum():
    env = gymnasium.make(ID)
    yield env
    env.close()


@pytest.fixture
def analytic(monkeypatch):
    """An environment without a twin."""
    monkeypatch.setattr(plugins, "make", lambda name, **parameters: Pendulum(has_twin=False, **parameters))
    return ctrlnet_gym.ControlEnv("pendulum")


def test_every_installed_environment_is_registered():
    assert {ctrlnet_gym.identifier(name) for name in names("environments")} <= set(gymnasium.registry)
    assert ctrlnet_gym.register() == []  # importing twice registers nothing twice


def test_registering_imports_no_plugin():
    program = "import sys, ctrlnet.gym; print([name for name in sys.modules if name.startswith('ctrlnet_envs')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("parameters", [{}, {"torque_limit": 0.75}])
def test_gymnasium_finds_nothing_to_complain_about(parameters):
    env = gymnasium.make(ID, **parameters).unwrapped
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    told = [str(one.message) for one in complaints]
    # controls are in SI units within their limits, not in [-1, 1]: a recommendation we do not follow
    assert [one for one in told if "symmetric and normalized space" not in one] == []


@pytest.mark.render
def test_gymnasium_finds_nothing_to_complain_about_in_pictures():
    env = gymnasium.make(ID, render_mode="rgb_array").unwrapped
    check_env(env)
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (480, 480, 3) and picture.dtype == np.uint8 and picture.std() > 10
    env.close()


def test_parameters_reach_the_environment():
    env = gymnasium.make(ID, torque_limit=0.75)
    assert env.action_space.high.tolist() == [0.75]
    with pytest.raises(UsageError, match="torqe_limit"):
        gymnasium.make(ID, torqe_limit=0.75)


def test_without_a_twin_the_analytic_model_is_integrated(analytic):
    check_env(analytic, skip_render_check=True)
    system, x = Pendulum().system, torch.tensor([1.0, -0.5], dtype=torch.float64)
    analytic.reset(options={"state": x.numpy()})
    reached, *_ = analytic.step(np.array([2.0]))
    u = torch.tensor([2.0], dtype=torch.float64)
    expected = odeint(lambda now: system(now, u), x, [0.0, 0.01], step=1e-4)[-1]
    np.testing.assert_allclose(reached, expected.numpy(), atol=1e-9)


def test_twin_and_analytic_model_agree(pendulum, analytic):
    x = np.array([1.0, -0.5])
    for env in (pendulum, analytic):
        env.reset(options={"state": x})
    for u in (2.0, -6.0, 0.5):
        mujoco, model = (env.step(np.array([u]))[0] for env in (pendulum, analytic))
        np.testing.assert_allclose(mujoco, model, atol=1e-8)


def test_control_beyond_its_limit_is_the_limit(pendulum):
    ends = []
    for u in (6.0, 60.0):
        pendulum.reset(options={"state": [0.5, 0.0]})
        ends.append(pendulum.unwrapped.step(np.array([u]))[:2])
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_reward_is_the_documented_cost(pendulum):
    env, box = pendulum.unwrapped, pendulum.unwrapped.box
    half = box.half_widths.numpy()
    x, u = 0.25 * half, np.array([3.0])
    env.reset(options={"state": x})
    _, reward, *_ = env.step(u)
    assert reward == pytest.approx(-(2 * 0.25**2 + 0.1 * (3.0 / 6.0) ** 2) * 0.01)
    env.reset(options={"state": np.zeros(2)})
    assert env.step(np.zeros(1))[1] == 0.0


def test_leaving_the_box_ends_the_episode(pendulum):
    upper = pendulum.unwrapped.box.upper.numpy()
    pendulum.reset(options={"state": 0.999 * upper})
    x, _, terminated, truncated, _ = pendulum.step(np.array([6.0]))
    assert terminated and not truncated
    assert x in pendulum.observation_space


def test_an_episode_is_truncated_after_its_horizon():
    env = gymnasium.make(ID, max_episode_steps=5)
    env.reset(options={"state": [0.0, 0.0]})
    ends = [env.step(np.zeros(1))[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]
    assert gymnasium.spec(ID.split(":")[1]).max_episode_steps == ctrlnet_gym.EPISODE


def test_seed_fixes_the_start(pendulum):
    first, second, other = (pendulum.reset(seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    following, again = pendulum.reset()[0], pendulum.reset()[0]
    assert (following != again).any()


def test_misuse_is_named(pendulum, analytic):
    with pytest.raises(UsageError, match="no state"):
        pendulum.reset(options={"state": [1e3, 0.0]})
    pendulum.reset()
    with pytest.raises(UsageError, match="no control"):
        pendulum.unwrapped.step(np.array([np.nan]))
    with pytest.raises(UsageError, match="render_mode"):
        ctrlnet_gym.ControlEnv("pendulum", render_mode="human")
    with pytest.raises(UsageError, match="no MuJoCo twin"):
        ctrlnet_gym.ControlEnv("pendulum", render_mode="rgb_array")
    with pytest.raises(UsageError, match="rate_hz"):
        ctrlnet_gym.ControlEnv("pendulum", rate_hz=0.0)


def test_unknown_environment_is_named_with_the_nearest():
    with pytest.raises(NameNotFound, match="pendulum"):
        ctrlnet_gym.ControlEnv("pendulm")
