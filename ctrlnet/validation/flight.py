"""A flight: a fleet from many states at once, each simulation until its fate is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.fleet import Ids, Simulations
from ctrlnet.simulation.functions import ArrayFunction
from ctrlnet.validation.claim import Claim
from ctrlnet.validation.flight_log import FlightLog

Progress: TypeAlias = Callable[[float], None]  # told the share of the work that is done, from 0 to 1


@final
@dataclass(frozen=True)
class Pilot:
    """The control u = π(x) of a batch, with what its effort is measured against.

    Attributes:
        control: π on arrays, (batch, n) to (batch, m); of a policy with k numbers of internal state z, (batch, m + k),
            u and then z'.
        rest: u*, the control at the equilibrium, (m,).
        lower, upper: limits, (m,), infinite where there are none.
    """

    control: ArrayFunction
    rest: Array
    lower: Array
    upper: Array

    def applied(self, u: Array) -> Array:
        """Of the values of π, (batch, m) or (batch, m + k), the controls of the plant, (batch, m)."""
        return u[:, : len(self.rest)]

    def saturated(self, u: Array) -> Array:
        """1.0 where any control is at a limit, else 0.0; u (batch, m), result (batch,)."""
        at_limit = (u <= self.lower) | (u >= self.upper)
        return np.asarray(at_limit.any(-1), dtype=np.float64)

    def power(self, u: Array) -> Array:
        """|u − u*|², (batch,)."""
        return np.asarray(np.square(u - self.rest).sum(-1))


def fly(
    fleet: Simulations,
    pilot: Pilot,
    claim: Claim,
    x0: Array,
    *,
    longest: float,
    stored: int = 0,
    progress: Progress | None = None,
) -> FlightLog:
    """Simulate from every row of x0 until it has settled, left the set, or broken the promised decrease.

    The control is computed for all that still fly, once a period, and held. Nobody flies longer than the claim's
    horizon allows, nor than `longest` [s].

    Args:
        fleet: as many simulations as x0 has rows.
        pilot: the controls.
        claim: what is promised.
        x0: first states, (count, n).
        longest: [s].
        stored: whose trajectories, the first so many, are kept whole.
        progress: told the share of trajectories that have come to their end.
    """
    log = FlightLog(claim, x0, fleet.period, stored)
    fleet.place(x0)
    flying: Ids = np.arange(len(x0))
    x = x0
    end = min(claim.horizon + log.dwell, longest)
    for period in range(1, int(np.ceil(end / fleet.period)) + 1):
        u = pilot.control(x)
        felt = pilot.applied(u)
        log.count_effort(flying, felt, pilot.power(felt), pilot.saturated(felt))
        fleet.hold(u, None if len(flying) == fleet.count else flying)
        x = fleet.states(flying)
        still = log.observe(period * fleet.period, flying, x, felt)
        if not still.all():
            flying, x = flying[still], x[still]
            if progress is not None:
                progress(1 - len(flying) / fleet.count)
        if not len(flying):
            break
    return log
