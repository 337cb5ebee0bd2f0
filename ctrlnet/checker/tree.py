"""A proof tree in preorder to its leaf boxes.

'A' + i splits a box along dimension i at 0.5 lo + 0.5 hi (float64, rounded to nearest; strictly between lo and hi),
then come the subtree of the lower and that of the upper half; a lower-case letter is a leaf. Whatever the string, the
leaves cover the box: both halves contain the midpoint. Levels are walked together, so depth costs no recursion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.document import text
from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.report import Rejected, Unreadable

MAX_NODES = 2**24
"""Most nodes of a tree, times dimensions."""
FIRST_SPLIT, FIRST_LEAF = ord("A"), ord("a")


@dataclass(frozen=True)
class Leaves:
    """Boxes (count, n) that cover the root, their kinds (letters as numbers), their places in preorder."""

    box: Interval
    kinds: NDArray[np.uint8]
    places: NDArray[np.int64]

    def of_kind(self, kind: str) -> Leaves:
        """Those of one kind."""
        chosen = self.kinds == ord(kind)
        return Leaves(self.box[chosen], self.kinds[chosen], self.places[chosen])

    def __len__(self) -> int:
        return len(self.kinds)


def leaves(tree: Any, lower: Array, upper: Array, kinds: str, where: str) -> Leaves:
    """Leaf boxes of a tree over a box, in preorder; `kinds` are the leaf letters allowed."""
    letters = _letters(tree, len(lower), where)
    is_split = letters < FIRST_LEAF
    right = _right_children(is_split, where)
    wrong = ~is_split & ~np.isin(letters, np.frombuffer(kinds.encode(), np.uint8))
    if wrong.any():
        raise Rejected(f"{where}: a leaf of kind '{chr(letters[wrong.argmax()])}' is not allowed there")
    at, lo, hi = np.zeros(1, np.int64), lower[None], upper[None]
    done: list[tuple[NDArray[np.int64], Array, Array]] = []
    while len(at):
        leaf = ~is_split[at]
        done.append((at[leaf], lo[leaf], hi[leaf]))
        at, lo, hi = at[~leaf], lo[~leaf], hi[~leaf]
        lo, hi = halves(lo, hi, letters[at].astype(np.int64) - FIRST_SPLIT, where)
        at = np.concatenate([at + 1, right[at]])
    at, lo, hi = (np.concatenate(parts) for parts in zip(*done, strict=True))
    order = np.argsort(at)
    return Leaves(Interval(lo[order], hi[order]), letters[at[order]], at[order])


def halves(lo: Array, hi: Array, dimension: NDArray[np.int64], where: str) -> tuple[Array, Array]:
    """All lower halves, then all upper halves, of boxes split each along its own dimension."""
    row = np.arange(len(lo))
    a, b = lo[row, dimension], hi[row, dimension]
    middle = 0.5 * a + 0.5 * b
    if not ((a < middle) & (middle < b)).all():
        raise Rejected(f"{where}: a box is split along a dimension in which it has no width")
    low_hi, high_lo = hi.copy(), lo.copy()
    low_hi[row, dimension] = high_lo[row, dimension] = middle
    return np.concatenate([lo, high_lo]), np.concatenate([low_hi, hi])


def _letters(tree: Any, n: int, where: str) -> NDArray[np.uint8]:
    string = text(tree, where)
    if not string.isascii() or not string.isalpha():
        raise Unreadable(f"{where}: a tree is a string of letters")
    if len(string) * n > MAX_NODES:
        raise Unreadable(f"{where}: more than {MAX_NODES // n} nodes are too many for this checker")
    letters = np.frombuffer(string.encode(), np.uint8)
    if (letters < FIRST_LEAF).any() and letters[letters < FIRST_LEAF].max() >= FIRST_SPLIT + n:
        raise Unreadable(f"{where}: a split along a dimension that does not exist")
    return letters


def _right_children(is_split: NDArray[np.bool_], where: str) -> NDArray[np.int64]:
    """Place of the upper half of each split; a tree is complete when splits - leaves first falls to -1 at its end.

    The lower half of the split at i ends at the first j > i where splits - leaves is one less than at i.
    """
    excess = np.cumsum(np.where(is_split, 1, -1))
    if excess[-1] != -1 or (excess[:-1] < 0).any():
        raise Rejected(f"{where}: the tree does not cover the box; a subtree is missing or one too many")
    count = len(excess)
    order = np.argsort(excess, kind="stable")
    ranked = excess[order] * count + order
    after = np.searchsorted(ranked, (excess - 1) * count + np.arange(count), side="right")
    return np.where(is_split, order[np.minimum(after, count - 1)] + 1, 0)
