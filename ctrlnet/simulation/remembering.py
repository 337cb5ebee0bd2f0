"""A fleet whose policy has an internal state, which is integrated beside the simulator."""

from __future__ import annotations

from typing import final

import numpy as np

from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.equations import EquationFleet
from ctrlnet.simulation.fleet import Fleet, Ids, Simulations
from ctrlnet.systems import System


@final
class RememberingFleet:
    """`fleet` under policies with memories of `size` numbers each: its state is (x, z), its control (u, z').

    A policy at a control rate moves its own state once a period, z(t + T) = z(t) + T z', with the z' that it computed
    together with the u that is held meanwhile.
    """

    def __init__(self, fleet: Simulations, size: int) -> None:
        self.fleet, self.size = fleet, size
        self.count, self.period = fleet.count, fleet.period
        self._z = np.zeros((fleet.count, size))

    def place(self, x: Array) -> None:
        """Put simulation i into the joint state x[i], shape (count, n + k)."""
        self.fleet.place(x[:, : -self.size])
        self._z = np.array(x[:, -self.size :], dtype=np.float64)

    def states(self, ids: Ids | slice = slice(None)) -> Array:
        """The joint states of the simulations `ids`, (len(ids), n + k)."""
        return np.concatenate([self.fleet.states(ids), self._z[ids]], -1)

    def hold(self, u: Array, ids: Ids | None = None) -> None:
        """Advance the simulations `ids` by one period under the joint controls u, (len(ids), m + k).

        Raises:
            NonFinite: a control is NaN or infinite.
        """
        self.fleet.hold(u[:, : -self.size], ids)
        rows = np.arange(self.count) if ids is None else ids
        self._z[rows] += self.period * u[:, -self.size :]


def simulations(twin: Twin | None, system: System, count: int, *, period: float, substeps: int = 1) -> Simulations:
    """So many simulations of a plant, with the memories of its policies: of its twin, else of its equations."""
    if twin is None:
        return EquationFleet(system, count, period=period, substeps=substeps)
    fleet = Fleet(twin, count, period=period, substeps=substeps)
    return fleet if system.memory is None else RememberingFleet(fleet, system.memory.size)
