"""The twin's contract, and the pendulum's twin against the analytic model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctrlnet_envs.pendulum_twin import pendulum_twin
from simulation.plants import DAMPING, GRAVITY, INERTIA, LENGTH, MASS, Pendulum

from ctrlnet import Twin, UsageError
from ctrlnet.simulation import Fleet, compile_twin, load_mujoco

STATES = 200


@pytest.fixture(scope="module")
def model():
    return compile_twin(Pendulum().twin())


def random_states(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-12, 12, (STATES, 2))


def at_states(model, u: float = 0.0):
    """MjData after mj_forward at random states."""
    mujoco = load_mujoco()
    data = mujoco.MjData(model)
    for angle, speed in random_states():
        data.qpos[:], data.qvel[:], data.ctrl[:] = angle, speed, u
        mujoco.mj_forward(model, data)
        yield angle, speed, data


def test_mass_matrix_is_that_of_the_point_mass(model):
    mujoco = load_mujoco()
    M = np.zeros((1, 1))
    for _, _, data in at_states(model):
        mujoco.mj_fullM(model, data, M)
        assert abs(M[0, 0] - INERTIA) < 1e-12


def test_bias_force_is_gravity(model):
    for angle, _, data in at_states(model):
        assert abs(data.qfrc_bias[0] + MASS * GRAVITY * LENGTH * np.sin(angle)) < 1e-12


def test_joint_damping_is_the_only_passive_force(model):
    for _, speed, data in at_states(model):
        assert abs(data.qfrc_passive[0] + DAMPING * speed) < 1e-12


def test_torque_is_the_control_within_its_limit_and_the_limit_beyond(model):
    for u, torque in ((3.25, 3.25), (-5.5, -5.5), (60.0, 6.0), (-60.0, -6.0)):
        _, _, data = next(at_states(model, u))
        assert data.qfrc_actuator[0] == torque


def test_acceleration_equals_the_analytic_model():
    plant, x = Pendulum(), random_states(1)
    u = np.random.default_rng(2).uniform(-6, 6, (STATES, 1))
    fleet = Fleet(plant.twin(), STATES, period=0.01)
    fleet.place(x)
    expected = plant.system(torch.from_numpy(x), torch.from_numpy(u)).numpy()[:, 1]
    scale = np.abs(expected).max()
    assert np.abs(fleet.accelerations(u)[:, 0] - expected).max() < 1e-12 * scale


def test_positive_angle_leans_towards_positive_x_and_zero_is_upright(model):
    mujoco = load_mujoco()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    above = data.geom("bob").xpos - data.joint("pivot").xanchor
    np.testing.assert_allclose(above, [0, 0, LENGTH], atol=1e-12)
    data.qpos[:] = 0.3
    mujoco.mj_forward(model, data)
    assert data.geom("bob").xpos[0] > 0


@pytest.mark.parametrize("limit, mass, length", [(0.75, 0.15, 0.5), (1 / 3, 2.7, 1.1), (40.0, 10.0, 0.123456789012345)])
def test_numbers_keep_full_precision(limit, mass, length):
    model = compile_twin(pendulum_twin(limit, mass, length, damping=0.1, gravity=9.81))
    assert model.actuator("torque").ctrlrange.tolist() == [-limit, limit]
    assert model.body("pole").mass[0] == mass
    assert model.body("pole").ipos[2] == length


@pytest.mark.parametrize("name", ["torque_limit", "mass", "length"])
@pytest.mark.parametrize("number", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_pendulum_is_refused(name, number):
    numbers = {"torque_limit": 6.0, "mass": 0.15, "length": 0.5, "damping": 0.1, "gravity": 9.81, name: number}
    with pytest.raises(UsageError, match=name):
        pendulum_twin(**numbers)


def test_default_maps_are_inverse():
    twin = Pendulum().twin()
    x = random_states()
    np.testing.assert_array_equal(twin.from_simulator(*twin.to_simulator(x)), x)


def test_own_state_map_is_used():
    """A state (−θ, −ω) simulates like the mirrored pendulum."""
    plain = Pendulum().twin()
    mirrored = Twin(
        plain.mjcf,
        plain.joints,
        plain.actuators,
        to_simulator=lambda x: (-x[..., :1], -x[..., 1:]),
        from_simulator=lambda q, v: np.concatenate([-q, -v], -1),
    )
    x, u = random_states(), np.ones((STATES, 1))
    ends = []
    for twin, sign in ((plain, 1.0), (mirrored, -1.0)):
        fleet = Fleet(twin, STATES, period=0.01)
        fleet.place(sign * x)
        fleet.hold(u)
        ends.append(sign * fleet.states())
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mjcf": "pendulum.xml"}, "MJCF text"),
        ({"joints": ()}, "joints"),
        ({"joints": ("pivot", "pivot")}, "joints"),
        ({"actuators": ("",)}, "actuators"),
    ],
)
def test_malformed_twin_is_refused(change, word):
    plain = Pendulum().twin()
    fields = {"mjcf": plain.mjcf, "joints": plain.joints, "actuators": plain.actuators} | change
    with pytest.raises(UsageError, match=word):
        Twin(**fields)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mjcf": "<mujoco><nonsense/></mujoco>"}, "nonsense"),
        ({"joints": ("elbow",)}, "elbow"),
        ({"actuators": ("spring",)}, "spring"),
        ({"joints": ("pivot", "slider")}, "slider"),
    ],
)
def test_twin_that_does_not_fit_its_model_is_refused(change, word):
    plain = Pendulum().twin()
    fields = {"mjcf": plain.mjcf, "joints": plain.joints, "actuators": plain.actuators} | change
    with pytest.raises(UsageError, match=word):
        compile_twin(Twin(**fields))
