"""What a certificate of exponential stability promises about every trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from ctrlnet.errors import UsageError
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.functions import ArrayFunction

_ROUNDING = 1e-9  # relative; a state counts as outside the level set only beyond it


@final
@dataclass(frozen=True)
class Claim:
    """From every x(0) in S = {x in box : V(x) <= level}:  x(t) in S  and  V(x(t)) <= e^(-rate t) V(x(0)).

    Attributes:
        V: on arrays, (batch, n) to (batch,).
        level: in the units of V.
        rate: [1/s].
        lower, upper: corners of the box, (n,).
        settled: share of the level below which a trajectory counts as converged.
        slack: factor above the promised V from which a trajectory counts as not converging.
    """

    V: ArrayFunction
    level: float
    rate: float
    lower: Array
    upper: Array
    settled: float
    slack: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level > 0 and math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(f"level is {self.level} and rate {self.rate}; both must be positive and finite.")

    @property
    def horizon(self) -> float:
        """[s] after which every trajectory has settled or broken the promise: slack·e^(-rate t) <= settled."""
        return math.log(self.slack / self.settled) / self.rate

    def outside(self, x: Array, V: Array) -> NDArray[np.bool_]:
        """Where a state is not in S, or not finite; x (batch, n), V = V(x) (batch,)."""
        in_box = ((x >= self.lower) & (x <= self.upper)).all(-1)
        inside = in_box & (self.level * (1 + _ROUNDING) >= V)  # false for NaN
        return ~inside

    def ratio(self, V: Array, first: Array, t: float) -> Array:
        """V(x(t)) / (e^(-rate t) V(x(0))), at most 1 by the promise; 0 where V has settled."""
        promised = np.maximum(first * math.exp(-self.rate * t), np.finfo(np.float64).tiny)
        return np.where(self.settled * self.level < V, V / promised, 0.0)
