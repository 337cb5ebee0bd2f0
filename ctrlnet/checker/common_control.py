"""The claim of a leaf: on a box of x one control u in U keeps all conditions, for all disturbances d in D.

u is chosen for the box (controls.py), with D as a whole, and where that does not do with D in parts. With this u the
conditions are enclosed over the box times D, and over the box times pieces of D where that is too much: a bound over
all of D does not become sharp as the box shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctrlnet.checker.controls import Condition, Plant, chosen, driven, held, kept
from ctrlnet.checker.equilibrium import halved
from ctrlnet.checker.interval import Array, Interval, Mask, stack
from ctrlnet.checker.leaves import Outcome
from ctrlnet.checker.tree import halves

PARTS = 8
"""Of D, for the choice of a control."""
PIECES, ROUNDS = 64, 16
"""Most pieces of D for each of many boxes, on the average, and most bisections of one."""


def met(plant: Plant, conditions: Sequence[Condition], box: Interval) -> Outcome:
    """The claim on boxes (B, n); refuted where no u in U keeps some condition at the midpoint, for one d."""
    outcome = _met(plant, conditions, box, [plant.D])
    left = ~(outcome.proved | outcome.refuted)
    if left.any() and (plant.D.lo < plant.D.hi).any():
        better = _met(plant, conditions, box[left], list(halved(plant.D, PARTS)))
        outcome.proved[left], outcome.refuted[left], outcome.doubt[left] = better
    return outcome


def _met(plant: Plant, conditions: Sequence[Condition], box: Interval, D: Sequence[Interval]) -> Outcome:
    u, hopeless = chosen(plant, conditions, box, D)
    proved, doubt = throughout(plant, conditions, box, u)
    return Outcome(proved, hopeless, doubt)  # another u may keep what this one does not


def throughout(plant: Plant, conditions: Sequence[Condition], box: Interval, u: Array) -> tuple[Mask, Array]:
    """Which boxes keep all conditions with their u (B, m) for all of D, and the doubt of each axis of x.

    D is bisected, for each box by itself, as long as it adds most to the doubt, and none of its values is known for
    which the conditions fail with this u.
    """
    B, n = box.shape
    place, D = np.arange(B), plant.D.broadcast(B, plant.D.shape[1])
    proved, doubt = np.ones(B, dtype=bool), np.zeros((B, n))
    for _ in range(ROUNDS):
        found = _over(plant, conditions, box[place], D, u[place], B)
        ours, cut = found.doubt[:, :n], 0.5 * D.lo + 0.5 * D.hi
        theirs = np.where((D.lo < cut) & (cut < D.hi), found.doubt[:, n:], -1.0)
        hard = found.refuted | ~(theirs.max(1, initial=-1.0) > ours.max(1))
        np.maximum.at(doubt, place[~found.proved], ours[~found.proved])
        proved[place[~found.proved & hard]] = False
        left = ~found.proved & proved[place]
        place, D, theirs = place[left], D[left], theirs[left]
        if not left.any() or 2 * len(place) > PIECES * B:
            break
        place, D = np.concatenate([place, place]), Interval(*halves(D.lo, D.hi, theirs.argmax(1), "D"))
    proved[place] = False
    return proved, doubt


def _over(plant: Plant, conditions: Sequence[Condition], box: Interval, D: Interval, u: Array, most: int) -> Outcome:
    """All conditions with u (C, m) over boxes (C, n) times pieces (C, k) of D, at most so many at once."""
    found = []
    for i in np.array_split(np.arange(len(u)), -(-len(u) // most)):
        field = driven(plant, held(u[i], plant.f.n))
        found.append(kept(field, conditions, stack([box[i], D[i]], axis=1)))
    return Outcome(*(np.concatenate(column) for column in zip(*found, strict=True)))
