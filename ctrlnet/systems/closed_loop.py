"""A plant under a policy."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box, Number
from ctrlnet.systems.affine import System
from ctrlnet.systems.rows import check_rows
from ctrlnet.types import Field


@final
class ClosedLoop:
    """The autonomous field  x' = f(x) + g(x) π(x);  of a plant with disturbance, x' = f(x, d(t)) + g(x, d(t)) π(x).

    Args:
        plant: the control-affine plant; its disturbance is the loop's.
        policy: π, maps (..., n) to (..., m).
        period: [s] of a zero-order hold of the control; None for continuous feedback. The field is the same,
            the period says how the loop is to be simulated and certified.

    Raises:
        ShapeError: the policy does not map (..., n) to (..., m).
        UsageError: it mixes the rows of a batch, or the period is not positive.
    """

    def __init__(self, plant: System, policy: Field, period: Number | None = None) -> None:
        if not isinstance(plant, System):
            raise UsageError(
                f"plant is a {type(plant).__name__}; give a System. A field without control needs no loop."
            )
        self.plant, self.policy = plant, policy
        self.period = None if period is None else float(period)
        if self.period is not None and not (math.isfinite(self.period) and self.period > 0):
            raise UsageError(f"period is {period}; give seconds above zero, or None for continuous feedback.")
        check_rows(policy, plant.n, (plant.m,), "policy")

    @property
    def disturbance(self) -> Box | None:
        """The box of the plant's disturbance; None where it has none."""
        return self.plant.disturbance

    def __call__(self, x: Tensor, d: Tensor | None = None) -> Tensor:
        """x' at states (..., n), and at d (..., k) exactly where there is a disturbance, in state units per second."""
        return self.plant(x, self.policy(x), d)
