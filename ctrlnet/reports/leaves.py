"""The boxes of a proof, read from its certificate for drawing; nothing is verified here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.tree import leaves
from ctrlnet.errors import RunDamaged

__all__ = [
    "KINDS",
    "Leaves",
    "corner",
    "digest_in",
    "document_in",
    "document_of",
    "domain_of",
    "leaves_of",
    "tree_leaves",
]

Array = NDArray[np.float64]
KINDS = {"p": "proved", "x": "excluded", "e": "equilibrium", "o": "open"}


@dataclass(frozen=True)
class Leaves:
    """Leaves of one tree.

    Attributes:
        lower: lower corners, shape (k, n).
        upper: upper corners, shape (k, n).
        kind: one letter a leaf, a key of KINDS.
    """

    lower: Array
    upper: Array
    kind: str

    def of(self, kind: str) -> Leaves:
        """Those of one kind."""
        mine = np.array([one == kind for one in self.kind], dtype=bool)
        return Leaves(self.lower[mine], self.upper[mine], kind * int(mine.sum()))

    def through(self, point: Array, plane: tuple[int, int]) -> Leaves:
        """Those that meet the plane of two coordinates through a point."""
        rest = [axis for axis in range(len(point)) if axis not in plane]
        meets = np.atleast_1d(((self.lower[:, rest] <= point[rest]) & (point[rest] <= self.upper[:, rest])).all(axis=1))
        kind = "".join(one for one, keep in zip(self.kind, meets, strict=True) if keep)
        return Leaves(self.lower[meets], self.upper[meets], kind)


def document_of(path: Path) -> dict[str, Any]:
    """The JSON document of a certificate file, after its hash was compared; the mathematics is not checked here.

    Raises:
        RunDamaged: the file is truncated or edited.
    """
    return document_in(path.read_bytes(), path)


def document_in(data: bytes, path: Path) -> dict[str, Any]:
    """The JSON document in the bytes of a certificate, as `document_of`; the path is for the message."""
    head, _, body = data.partition(b"\n")
    if head.split()[-1:] != [digest_in(data).encode()]:
        raise RunDamaged(f"{path} was truncated or edited: its hash does not fit. Prove it again: ctrlnet certify RUN.")
    document: dict[str, Any] = json.loads(body)
    return document


def digest_in(data: bytes) -> str:
    """SHA-256 of a certificate: of every byte after its first line, as that line and the checker say it."""
    return hashlib.sha256(data.partition(b"\n")[2]).hexdigest()


def leaves_of(document: dict[str, Any]) -> Leaves:
    """Leaves of a certificate's interior tree, over the states and the disturbances."""
    return tree_leaves(document["proof"]["interior"], *domain_of(document["statement"]))


def domain_of(statement: dict[str, Any]) -> tuple[Array, Array]:
    """Corners of the box of the states, followed by those of the disturbances where there are any, (n + k,) each."""
    boxes = [statement[name] for name in ("box", "disturbance") if name in statement]
    lower, upper = (np.concatenate([corner(box[side]) for box in boxes]) for side in ("lower", "upper"))
    return lower, upper


def tree_leaves(tree: str, lower: Array, upper: Array) -> Leaves:
    """Leaves of a tree over a box, as the checker reads it."""
    found = leaves(tree, lower, upper, "".join(KINDS), "the tree")
    return Leaves(found.box.lo, found.box.hi, found.kinds.tobytes().decode())


def corner(numbers: list[str]) -> Array:
    """A corner of the format's exact numbers, C99 hex floats or rationals, as float64."""
    return np.array([float.fromhex(one) if "x" in one else float(Fraction(one)) for one in numbers])
