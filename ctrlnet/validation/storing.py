"""The trajectories that a validation keeps for drawing, thinned out."""

from __future__ import annotations

import numpy as np

from ctrlnet.mechanisms.twin import Array
from ctrlnet.validation.flight import Pilot
from ctrlnet.validation.flight_log import Fate, FlightLog
from ctrlnet.validation.result import Stored

_INSTANTS = 200
_DIGITS = 7  # significant; what is drawn needs no more, and the file stays small


def stored_trajectories(log: FlightLog, pilot: Pilot) -> tuple[Stored, ...]:
    """The first trajectories of the flight, at no more than 200 instants each, the last one included."""
    return tuple(_stored(log, pilot, which) for which in range(min(log.stored, len(log.fate))))


def _stored(log: FlightLog, pilot: Pilot, which: int) -> Stored:
    flown = [(sample, int(row)) for sample, ids in zip(log.samples, log.stored_ids, strict=True)
             for row in np.flatnonzero(ids == which)]  # fmt: skip
    kept = np.unique(np.linspace(0, len(flown) - 1, min(len(flown), _INSTANTS)).round().astype(int))
    chosen = [flown[index] for index in kept]
    x = np.stack([sample.x[row] for sample, row in chosen])
    t, V = np.array([sample.t for sample, _ in chosen]), np.array([sample.V[row] for sample, row in chosen])
    finite = np.isfinite(x).all(-1) & np.isfinite(V)
    t, x, V = t[finite], x[finite], V[finite]
    u = pilot.applied(pilot.control(np.ascontiguousarray(x)))
    outcome = Fate(int(log.fate[which])).name.lower()
    return Stored(x[0].tolist(), _short(t), _short_rows(x), _short_rows(u), _short(V), outcome)


def _short_rows(values: Array) -> list[list[float]]:
    return [_short(row) for row in values]


def _short(values: Array) -> list[float]:
    """The values at `_DIGITS` significant digits."""
    return [float(f"{value:.{_DIGITS}g}") for value in values]
