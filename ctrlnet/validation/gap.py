"""The model gap: how far MuJoCo's next state lies from the one that the analytic model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ctrlnet.errors import NonFinite
from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation import EquationFleet, simulations
from ctrlnet.simulation.rollouts import after_a_period
from ctrlnet.systems import System

_FINER = 16  # steps for each physics step of the validation, so that both integrators' errors vanish beside the gap


@final
@dataclass(frozen=True)
class ModelGap:
    """Largest |x_MuJoCo − x_analytic| after one period under a held control, over `count` states.

    Both are integrated finely, so that it is the models that differ; what the simulator's own steps add is told apart,
    as the `step_error` of the validation.

    Attributes:
        maximum: Euclidean norm, in the mixed units of the state.
        per_coordinate: largest difference of each coordinate, (n,).
        at, control: where the maximum occurs: the state at the start and the control held.
        count: states compared.
        period: [s].
    """

    maximum: float
    per_coordinate: list[float]
    at: list[float]
    control: list[float]
    count: int
    period: float

    @property
    def per_second(self) -> float:
        """maximum / period: the size of a disturbance of x' that would explain the gap."""
        return self.maximum / self.period


def model_gap(twin: Twin, system: System, x: Array, u: Array, *, period: float, substeps: int) -> ModelGap:
    """Compare both models from the states x (batch, n) under the controls u (batch, m) held for one period.

    Both take sixteen times `substeps` steps: the twin by the method of its MJCF, the system by rk4.
    """
    twins = simulations(twin, system, len(x), period=period, substeps=substeps * _FINER)
    equations = EquationFleet(system, len(x), period=period, substeps=substeps * _FINER)
    difference = np.abs(after_a_period(twins, x, u) - after_a_period(equations, x, u))
    norms = np.sqrt(np.square(difference).sum(-1))
    worst = int(np.argmax(norms))  # argmax finds a NaN first
    if not np.isfinite(norms[worst]):
        raise NonFinite(f"One period from x = {x[worst].tolist()} under u = {u[worst].tolist()} gives NaN or infinity.")
    at, control = x[worst].tolist(), u[worst].tolist()
    return ModelGap(float(norms[worst]), difference.max(0).tolist(), at, control, len(x), period)
