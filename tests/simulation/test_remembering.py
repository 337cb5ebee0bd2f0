"""Fleets whose policies have a state of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simulation.plants import Pendulum

from ctrlnet import Box, Memory, NonFinite, Quantity, augmented
from ctrlnet.simulation import EquationFleet, Fleet, RememberingFleet, rollout, simulations

OWN = Memory((Quantity("z", "1"), Quantity("w", "1")), box=Box([-1, -1], [1, 1]), rates=Box([-9, -9], [9, 9]))
WHOLE = augmented(Pendulum().system, OWN)


def test_the_memory_takes_eulers_steps_and_the_plant_flies_as_without() -> None:
    rng = np.random.default_rng(0)
    y, u = rng.normal(size=(5, 4)), rng.normal(size=(3, 5, 3))
    twin = Pendulum().twin()
    assert twin is not None
    plain, fleet = Fleet(twin, 5, period=0.02), simulations(twin, WHOLE, 5, period=0.02)
    assert isinstance(fleet, RememberingFleet)
    plain.place(y[:, :2])
    fleet.place(y)
    for now in u:
        plain.hold(now[:, :1])
        fleet.hold(now)
    np.testing.assert_array_equal(fleet.states()[:, :2], plain.states())
    np.testing.assert_allclose(fleet.states()[:, 2:], y[:, 2:] + 0.02 * u[:, :, 1:].sum(0), rtol=1e-14)


def test_some_of_them_alone() -> None:
    fleet, some = RememberingFleet(EquationFleet(Pendulum().system, 4, period=0.1, substeps=1), 2), np.array([1, 3])
    fleet.place(np.ones((4, 4)))
    fleet.hold(np.full((2, 3), 2.0), some)
    assert fleet.states()[:, 2:].tolist() == [[1, 1], [1.2, 1.2], [1, 1], [1.2, 1.2]]
    assert fleet.states(some).shape == (2, 4)
    with pytest.raises(NonFinite):
        fleet.hold(np.full((4, 3), np.nan))


def test_without_a_twin_the_equations_move_both_and_agree() -> None:
    y = np.random.default_rng(1).normal(size=(6, 4))
    u = np.tile([0.3, -1.0, 2.0], (6, 1))
    twin = Pendulum().twin()
    found = []
    for fleet in (simulations(twin, WHOLE, 6, period=0.01, substeps=4), simulations(None, WHOLE, 6, period=0.01)):
        fleet.place(y)
        fleet.hold(u)
        found.append(fleet.states())
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)


def test_a_rollout_with_a_memory() -> None:
    """z' = 1 counts seconds, and u = -θ z grows with it."""
    twin = Pendulum().twin()
    assert twin is not None

    def policy(y: torch.Tensor) -> torch.Tensor:
        return torch.stack([-y[..., 0] * y[..., 2], torch.ones_like(y[..., 2])], -1)

    flown = rollout(twin, policy, np.array([[0.1, 0.0, 0.0]]), 0.5, rate_hz=50, memory=1)
    assert flown.x.shape == (26, 1, 3) and flown.u.shape == (25, 1, 2)
    np.testing.assert_allclose(flown.x[:, 0, 2], flown.t, atol=1e-12)
    np.testing.assert_allclose(flown.u[:, 0, 0], -flown.x[:-1, 0, 0] * flown.t[:-1], rtol=1e-12)
