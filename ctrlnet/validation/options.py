"""How a certificate is validated."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import final

from ctrlnet.errors import UsageError


@final
@dataclass(frozen=True)
class ValidationOptions:
    """How many trajectories, at which control rate, and when they count as converged.

    Attributes:
        count: trajectories, from states drawn uniformly over the certified region.
        rate_hz: control rate [1/s]; the control is held in between (zero-order hold).
        seed: of the states that are drawn.
        repeat_hz: control rate [1/s] of the repetition that tells a false certificate from an effect of sampling.
        repeats: how many of the trajectories that failed are repeated.
        settled: share of the level below which V counts as converged; 1e-4 is 1 % of the way for a quadratic V.
        slack: a trajectory has failed to converge when V exceeds `slack`·e^(-rate t)·V(x(0)) while not settled.
        longest: [s] of simulated time after which a trajectory is given up as undetermined.
        stored: trajectories kept for drawing.
    """

    count: int = 1000
    rate_hz: float = 100.0
    seed: int = 0
    repeat_hz: float = 10_000.0
    repeats: int = 32
    settled: float = 1e-4
    slack: float = 2.0
    longest: float = 600.0
    stored: int = 12

    def __post_init__(self) -> None:
        wrong = [one.name for one in fields(self) if one.name != "seed" and not _positive(getattr(self, one.name))]
        if wrong:
            given = ", ".join(f"{name} = {getattr(self, name)}" for name in wrong)
            raise UsageError(f"{given}: these must be positive and finite.")
        if self.settled >= 1 or self.slack < 1 or self.repeat_hz < self.rate_hz:
            raise UsageError(
                f"settled = {self.settled}, slack = {self.slack}, rate_hz = {self.rate_hz}, repeat_hz = "
                f"{self.repeat_hz}; needed: settled < 1 <= slack, and repeat_hz at least rate_hz."
            )


def _positive(number: float) -> bool:
    return math.isfinite(number) and number > 0
