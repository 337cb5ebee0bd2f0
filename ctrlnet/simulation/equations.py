"""A fleet without MuJoCo: the plant's own equations, for an environment that has no twin."""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from ctrlnet.errors import NonFinite, ShapeError
from ctrlnet.integrators import odeint
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.fleet import Ids
from ctrlnet.systems import System


@final
class EquationFleet:
    """`count` simulations of x' = f(x) + g(x) u by rk4, each holding its control for a whole period, like `Fleet`.

    Args:
        system: the plant.
        count: number of simulations.
        period: [s] between two controls.
        substeps: steps of rk4 a period.
    """

    def __init__(self, system: System, count: int, *, period: float, substeps: int = 1) -> None:
        self.system, self.count, self.period, self.substeps = system, count, period, substeps
        self._x = np.zeros((count, system.n))

    def place(self, x: Array) -> None:
        """Put simulation i into state x[i], shape (count, n)."""
        if x.shape != self._x.shape:
            raise ShapeError(f"x has shape {x.shape}; give {self._x.shape}, one row for each simulation.")
        self._x = np.array(x, dtype=np.float64)

    def states(self, ids: Ids | slice = slice(None)) -> Array:
        """The states of the simulations `ids`, (len(ids), n)."""
        return np.array(self._x[ids])

    def hold(self, u: Array, ids: Ids | None = None) -> None:
        """Advance the simulations `ids` by one period under the controls u, (len(ids), m).

        Raises:
            NonFinite: a control is NaN or infinite.
        """
        if not np.isfinite(u).all():
            raise NonFinite("A control is NaN or infinite.")
        rows = np.arange(self.count) if ids is None else ids
        held, x0 = torch.from_numpy(np.ascontiguousarray(u)), torch.from_numpy(self._x[rows])
        with torch.no_grad():
            x = odeint(lambda x: self.system(x, held), x0, [0.0, self.period], step=self.period / self.substeps)
        self._x[rows] = x[-1].numpy()
