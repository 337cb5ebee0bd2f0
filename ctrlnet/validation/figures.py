"""The figures of a flight."""

from __future__ import annotations

import numpy as np

from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.rollouts import Steps
from ctrlnet.validation.claim import Claim
from ctrlnet.validation.flight import Pilot
from ctrlnet.validation.flight_log import Fate, FlightLog
from ctrlnet.validation.options import ValidationOptions
from ctrlnet.validation.result import Control, Decrease, Effort, Settle

_ABOVE = 1 + 1e-9  # beyond rounding


def control_figures(claim: Claim, options: ValidationOptions, steps: Steps) -> Control:
    """How the loop was run."""
    period = 1 / options.rate_hz
    return Control(
        rate_hz=options.rate_hz,
        period=period,
        substeps=steps.count,
        physics_step=period / steps.count,
        step_error=steps.error,
        horizon=claim.horizon,
        horizon_capped=claim.horizon > options.longest,
    )


def decrease_figures(log: FlightLog) -> Decrease:
    """How V behaved; an increase without bound (a state that is not finite) is given as the largest float."""
    increase = min(log.increase / log.claim.level, float(np.finfo(np.float64).max))
    ratio = float(np.nan_to_num(log.ratio).max())
    return Decrease(increase, log.increase_at.tolist(), ratio, int((log.ratio > _ABOVE).sum()))


def settle_figures(log: FlightLog) -> Settle:
    """Median, 95 % and maximum of the time to settle."""
    times = log.entry[log.fate == Fate.SETTLED]
    if not len(times):
        return Settle(None, None, None)
    return Settle(float(np.median(times)), float(np.quantile(times, 0.95)), float(times.max()))


def effort_figures(log: FlightLog, pilot: Pilot) -> Effort:
    """Mean and 95 % of ∫|u − u*|² dt, peaks, share of the time in saturation."""
    return Effort(
        mean=float(log.effort.mean()),
        p95=float(np.quantile(log.effort, 0.95)),
        peak=log.peak.tolist(),
        lower=_finite(pilot.lower),
        upper=_finite(pilot.upper),
        saturated=log.saturated / log.duration,
    )


def _finite(limit: Array) -> list[float] | None:
    return limit.tolist() if np.isfinite(limit).all() else None
