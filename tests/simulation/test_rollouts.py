"""Closed-loop rollouts: hold of order zero, order of the integrator, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simulation.plants import Pendulum, saturated

from ctrlnet import ShapeError, UsageError, mlp, odeint
from ctrlnet.simulation import EquationFleet, Fleet, enough_substeps, numpy_function, rollout

X0 = np.array([[0.4, -1.0], [-2.0, 3.0], [3.0, 0.5]])


def exact_flow(plant: Pendulum, x: np.ndarray, u: np.ndarray, duration: float) -> np.ndarray:
    held = torch.from_numpy(u)
    steps = odeint(lambda y: plant.system(y, held), torch.from_numpy(x), [0.0, duration], step=duration / 256)
    return steps[-1].numpy()


def test_control_is_computed_at_the_instants_and_held_between():
    plant, policy = Pendulum(), saturated(3.0, 0.5)
    flown = rollout(plant.twin(), policy, X0, 0.5, rate_hz=20.0, substeps=64)
    assert flown.x.shape == (11, 3, 2) and flown.u.shape == (10, 3, 1)
    np.testing.assert_allclose(flown.t, np.arange(11) / 20)
    x = X0
    for k in range(10):
        u = policy(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(flown.u[k], u, atol=1e-8)
        x = exact_flow(plant, x, u, 0.05)
        np.testing.assert_allclose(flown.x[k + 1], x, atol=1e-8)


def test_one_physics_step_differs_from_the_exact_flow_in_fifth_order():
    plant = Pendulum()
    x = np.random.default_rng(0).uniform(-5, 5, (100, 2))
    u = np.random.default_rng(1).uniform(-6, 6, (100, 1))
    gaps = []
    for period in (0.08, 0.04, 0.02):
        fleet = Fleet(plant.twin(), 100, period=period)
        fleet.place(x)
        fleet.hold(u)
        gaps.append(np.abs(fleet.states() - exact_flow(plant, x, u, period)).max())
    assert gaps[0] / gaps[1] == pytest.approx(32, rel=0.35)
    assert gaps[1] / gaps[2] == pytest.approx(32, rel=0.35)


def test_enough_substeps_meets_its_tolerance_with_the_fewest_doublings():
    plant, scale = Pendulum(), np.array([12.0, 12.0])
    u = np.zeros((3, 1))
    fleet = lambda substeps: Fleet(plant.twin(), 3, period=0.1, substeps=substeps)  # noqa: E731
    steps = enough_substeps(fleet, X0, u, scale, tolerance=1e-9)
    assert 1 < steps.count <= 64 and steps.error <= 1e-9
    fewer = enough_substeps(fleet, X0, u, scale, most=steps.count // 2, tolerance=1e-30)
    assert fewer.count == steps.count // 2 and fewer.error > 1e-9


def test_result_does_not_depend_on_threads_or_on_the_rest_of_the_batch():
    plant, u = Pendulum(), np.ones((3, 1))
    ends = []
    for threads in (1, 2):
        fleet = Fleet(plant.twin(), 3, period=0.01, substeps=3, threads=threads)
        fleet.place(X0)
        fleet.hold(u)
        ends.append(fleet.states())
    np.testing.assert_array_equal(*ends)
    alone = Fleet(plant.twin(), 1, period=0.01, substeps=3)
    alone.place(X0[1:2])
    alone.hold(u[1:2])
    np.testing.assert_array_equal(alone.states()[0], ends[0][1])


def test_equations_and_twin_are_the_same_plant():
    plant, u = Pendulum(), np.array([[1.0], [-2.0]])
    ends = []
    for fleet in (
        Fleet(plant.twin(), 3, period=0.01, substeps=8),
        EquationFleet(plant.system, 3, period=0.01, substeps=8),
    ):
        fleet.place(X0)
        fleet.hold(u, np.array([0, 2]))
        ends.append(fleet.states())
    np.testing.assert_allclose(*ends, atol=1e-13)


def test_only_the_simulations_asked_for_move():
    fleet = Fleet(Pendulum().twin(), 3, period=0.01)
    fleet.place(X0)
    fleet.hold(np.zeros((1, 1)), np.array([1]))
    moved = (fleet.states() != X0).any(-1)
    assert moved.tolist() == [False, True, False]


def test_float32_policy_is_called_in_its_own_precision():
    network = mlp([2, 8, 1], dtype=torch.float32)
    u = numpy_function(network, (1,), "policy")(X0)
    expected = network(torch.from_numpy(X0).float()).detach().double().numpy()
    assert u.dtype == np.float64
    np.testing.assert_array_equal(u, expected)


def test_policy_of_the_wrong_shape_is_named():
    with pytest.raises(ShapeError, match="policy maps"):
        rollout(Pendulum().twin(), lambda x: x, X0, 1.0)


@pytest.mark.parametrize("x0", [np.zeros(2), np.zeros((2, 2, 2))])
def test_first_states_must_be_rows(x0):
    with pytest.raises(ShapeError, match="one state a row"):
        rollout(Pendulum().twin(), saturated(3, 0.5), x0, 1.0)


def test_numbers_that_cannot_be_meant_are_refused():
    twin = Pendulum().twin()
    with pytest.raises(UsageError, match="duration"):
        rollout(twin, saturated(3, 0.5), X0, 0.0)
    for wrong in ({"period": 0.0}, {"period": float("nan")}, {"period": 0.01, "substeps": 0}):
        with pytest.raises(UsageError, match="positive"):
            Fleet(twin, 3, **wrong)
    with pytest.raises(ShapeError, match="3 simulations"):
        Fleet(twin, 3, period=0.01).place(np.zeros((2, 2)))
