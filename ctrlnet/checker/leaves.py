"""Settle every leaf of a proof: enclose it, bisect what the enclosure alone does not settle, with bounded effort."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.report import Rejected, Undecided
from ctrlnet.checker.tree import Leaves, halves


class Outcome(NamedTuple):
    """Of boxes (B, N): proved, refuted at the midpoint, and how much each dimension contributes to the doubt (B, N)."""

    proved: NDArray[np.bool_]
    refuted: NDArray[np.bool_]
    doubt: Array


def every(*outcomes: Outcome) -> Outcome:
    """All claims together; the doubt is that of the first claim not proved."""
    result, *rest = outcomes
    for other in rest:
        doubt = np.where(result.proved[:, None], other.doubt, result.doubt)
        result = Outcome(result.proved & other.proved, result.refuted | other.refuted, doubt)
    return result


def some(*outcomes: Outcome) -> Outcome:
    """One of the claims on each box, not the same on all."""
    proved, refuted = (np.array([getattr(o, name) for o in outcomes]) for name in ("proved", "refuted"))
    return Outcome(np.asarray(proved.any(0)), np.asarray(refuted.all(0)), np.max([o.doubt for o in outcomes], axis=0))


class Effort:
    """Leaves of the proof so far, boxes enclosed so far, and how many of these may be."""

    def __init__(self, leaves: int = 0) -> None:
        self.leaves, self.used = leaves, 0

    @property
    def limit(self) -> int:
        """Most boxes enclosed."""
        return 64 * self.leaves + 4096

    def spend(self, boxes: int) -> bool:
        """Count boxes; False when they are more than is left."""
        self.used += boxes
        return self.used <= self.limit


def settle(
    leaves: Leaves, claim: str, test: Callable[[Interval], Outcome], effort: Effort, chunk: int, point: str = "x"
) -> None:
    """Prove a claim on all leaves, or raise `Rejected` at a point that refutes it, or `Undecided`."""
    box, place = leaves.box, leaves.places
    scale = np.maximum(np.ptp(np.concatenate([box.lo, box.hi]), axis=0), 1e-300) if len(leaves) else np.ones(1)
    while len(place):
        rest: list[tuple[Array, Array, NDArray[np.int64]]] = []
        for start in range(0, len(place), chunk):
            part, part_place = box[start : start + chunk], place[start : start + chunk]
            if not effort.spend(len(part_place)):
                raise Undecided(f"{claim}: effort exhausted at the leaf {_where(part, part_place, 0)}")
            outcome = test(part)
            if outcome.refuted.any():
                worst = int(outcome.refuted.argmax())
                values = ", ".join(f"{v:.6g}" for v in middle(part).lo[worst])
                raise Rejected(f"{claim}: false at {point} = ({values}), in the leaf {_where(part, part_place, worst)}")
            rest.append(_bisected(part, part_place, outcome, scale, claim))
        lo, hi, place = (np.concatenate(parts) for parts in zip(*rest, strict=True))
        box = Interval(lo, hi)


def middle(box: Interval) -> Interval:
    """Midpoints, as degenerate boxes; any point of the box would do."""
    point = np.clip(0.5 * box.lo + 0.5 * box.hi, box.lo, box.hi)
    return Interval(point, point)


def _bisected(
    box: Interval, place: NDArray[np.int64], outcome: Outcome, scale: Array, claim: str
) -> tuple[Array, Array, NDArray[np.int64]]:
    open_ = ~outcome.proved
    lo, hi, doubt = box.lo[open_], box.hi[open_], outcome.doubt[open_]
    point = 0.5 * lo + 0.5 * hi
    place, width = place[open_], (hi - lo) / scale
    usable = np.isfinite(doubt).all(axis=1, keepdims=True) & doubt.any(axis=1, keepdims=True)
    # a twentieth of the largest doubt by width keeps slivers away
    score = np.where(usable, doubt + 0.05 * doubt.max(axis=1, keepdims=True, initial=0.0) * width, width)
    score = np.where((lo < point) & (point < hi), score, -1.0)
    stuck = score.max(axis=1) < 0
    if stuck.any():
        at = _where(Interval(lo, hi), place, int(stuck.argmax()))
        raise Undecided(f"{claim}: not settled on a box too small to split, in the leaf {at}")
    return *halves(lo, hi, score.argmax(axis=1), claim), np.concatenate([place, place])


def _where(box: Interval, place: NDArray[np.int64], i: int) -> str:
    sides = " x ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(box.lo[i], box.hi[i], strict=True))
    return f"at place {place[i]} of its tree (there: {sides})"
