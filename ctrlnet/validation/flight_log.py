"""What is noted about every trajectory while it flies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import final

import numpy as np
from numpy.typing import NDArray

from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.fleet import Ids
from ctrlnet.validation.claim import Claim

_DWELL = 0.5  # [s] and periods that V must stay settled
_DWELL_PERIODS = 10


class Fate(IntEnum):
    """How a trajectory ended."""

    UNFINISHED = 0  # still under way when time ran out
    SETTLED = 1  # V fell below its threshold and stayed there
    LEFT = 2  # the state left the certified set, or was not finite
    SLOW = 3  # V exceeded the promised decrease by the slack factor


@final
@dataclass(frozen=True)
class Sample:
    """One instant of the stored trajectories: t [s], x (k, n) and V (k,) then, u (k, m) held until then."""

    t: float
    x: Array
    u: Array
    V: Array


@final
class FlightLog:
    """Running figures of a flight, one entry a trajectory.

    Attributes:
        fate: a `Fate` each, (count,).
        entry: [s] when V fell below its threshold for the last time, (count,); infinite when it is not below.
        ratio: largest V(x(t)) / (e^(-rate t) V(x(0))) while not settled, (count,).
        effort: ∫|u − u*|² dt, (count,).
        peak: largest |u| of each control.
        increase, increase_at: worst increase of V over one period, and the state from which it rose.
        duration, saturated: [s] flown by all, and with a control at its limit.
        samples: instants of the first `stored` trajectories.
    """

    def __init__(self, claim: Claim, x0: Array, period: float, stored: int) -> None:
        count = len(x0)
        self.claim, self.period = claim, period
        self.dwell = max(_DWELL, _DWELL_PERIODS * period)
        self.first = claim.V(x0)
        self.fate = np.full(count, Fate.UNFINISHED, dtype=np.int64)
        self.entry = np.where(self.first <= claim.settled * claim.level, 0.0, np.inf)
        self.ratio, self.effort = np.ones(count), np.zeros(count)
        self.peak = np.zeros(0)
        self.increase, self.increase_at = -np.inf, x0[0]
        self.duration = self.saturated = 0.0
        self.stored = stored
        self.samples = [Sample(0.0, x0[:stored], np.zeros((0, 0)), self.first[:stored])]
        self.stored_ids: list[Ids] = [np.arange(min(stored, count))]
        self._x, self._V = x0.copy(), self.first.copy()

    def count_effort(self, flying: Ids, u: Array, power: Array, saturated: Array) -> None:
        """Add one period under the controls u, (len(flying), m)."""
        self.effort[flying] += power * self.period
        peak = np.abs(u).max(0)
        self.peak = np.maximum(self.peak, peak) if self.peak.size else peak
        self.duration += len(flying) * self.period
        self.saturated += float(saturated.sum()) * self.period

    def observe(self, t: float, flying: Ids, x: Array, u: Array) -> NDArray[np.bool_]:
        """Note the states x reached at time t, and say which of the trajectories still fly."""
        V = self.claim.V(x)
        self._note_increase(flying, V)
        ratio = self.claim.ratio(V, self.first[flying], t)
        self.ratio[flying] = np.fmax(self.ratio[flying], ratio)
        self._store(t, flying, x, u, V)
        self._x[flying], self._V[flying] = x, V
        return self._decide(t, flying, x, V, ratio)

    def _note_increase(self, flying: Ids, V: Array) -> None:
        increase = np.nan_to_num(V - self._V[flying], nan=np.inf)
        worst = int(increase.argmax())
        if increase[worst] > self.increase:
            self.increase, self.increase_at = float(increase[worst]), self._x[flying[worst]].copy()

    def _decide(self, t: float, flying: Ids, x: Array, V: Array, ratio: Array) -> NDArray[np.bool_]:
        low = self.claim.settled * self.claim.level >= V
        self.entry[flying] = np.where(low, np.minimum(self.entry[flying], t), np.inf)
        stayed = low & (t - self.entry[flying] >= self.dwell - 1e-9)
        fate = np.where(stayed, Fate.SETTLED, Fate.UNFINISHED)
        fate[ratio > self.claim.slack] = Fate.SLOW
        fate[self.claim.outside(x, V)] = Fate.LEFT
        self.fate[flying] = fate
        return np.asarray(fate == Fate.UNFINISHED)

    def _store(self, t: float, flying: Ids, x: Array, u: Array, V: Array) -> None:
        rows = int(np.searchsorted(flying, self.stored))  # flying is sorted, so these come first
        if rows:
            self.samples.append(Sample(t, x[:rows].copy(), u[:rows].copy(), V[:rows].copy()))
            self.stored_ids.append(flying[:rows])
