"""Bytes of a certificate file to a validated document; every number keeps its exact rational value.

    ctrlnet-certificate 1 <sha256 of all that follows this line>
    {"statement": ..., "graphs": ..., "proof": ..., "assumptions": [...], "provenance": ...}

Nothing is guessed: an unknown field, a repeated key, a number that is no exact rational, is `Unreadable`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.report import Unreadable, printable

MAX_BYTES = 64 * 2**20
"""Largest file read: JSON can take some thirty times its size in memory."""
MAX_DIGITS = 2000
"""Longest number; the exact value of any float64 is shorter."""
HEADER = re.compile(rb"ctrlnet-certificate ([0-9]{1,6}) ([0-9a-f]{64})\n")
HEX_FLOAT = re.compile(r"(-?)0x([0-9a-f]+)(?:\.([0-9a-f]+))?p([+-]?[0-9]{1,4})", re.ASCII)
RATIONAL = re.compile(r"(-?[0-9]+)(?:/([0-9]+))?", re.ASCII)
FIELDS = ("statement", "graphs", "proof", "assumptions", "provenance")


@dataclass(frozen=True)
class Document:
    """Parts of a certificate, hash and JSON verified, contents not yet."""

    statement: Mapping[str, Any]
    graphs: Mapping[str, Any]
    proof: Mapping[str, Any]
    assumptions: tuple[str, ...]
    provenance: str
    digest: str


def document(data: bytes) -> Document:
    """Read header, hash and JSON; raises `Unreadable`."""
    header = HEADER.match(data)
    if header is None:
        raise Unreadable("the first line is not 'ctrlnet-certificate 1 <sha256>'; this is no certificate file")
    if header[1] != b"1":
        raise Unreadable(f"certificate format {int(header[1])} is not known; this checker reads format 1")
    body = data[header.end() :]
    digest = hashlib.sha256(body).hexdigest()
    if digest.encode() != header[2]:
        raise Unreadable("the hash does not match: the file was changed or cut after it was written")
    content = fields(_json(body), FIELDS, "the document")
    for name in ("statement", "graphs", "proof"):
        if not isinstance(content[name], dict):
            raise Unreadable(f"'{name}' is not an object")
    provenance = printable(json.dumps(content["provenance"], ensure_ascii=True))
    sentences = tuple(printable(text(s, "an assumption")) for s in sequence(content["assumptions"], "assumptions"))
    return Document(content["statement"], content["graphs"], content["proof"], sentences, provenance, digest)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise Unreadable("the JSON is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"the document is not UTF-8 JSON: {printable(str(error), 200)}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is repeated in one object")
    return dict(pairs)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not a number here")


def fields(value: Any, names: Collection[str], where: str) -> dict[str, Any]:
    """The object `value`, which must have exactly the fields `names`."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise Unreadable(f"{where} must be an object with exactly the fields {', '.join(map(printable, names))}")
    return value


def sequence(value: Any, where: str, length: int | None = None) -> list[Any]:
    """The list `value`, of the given length if one is given."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise Unreadable(f"{where} must be a list" + ("" if length is None else f" of length {length}"))
    return value


def text(value: Any, where: str) -> str:
    """The string `value`."""
    if not isinstance(value, str):
        raise Unreadable(f"{where} must be a string")
    return value


def integer(value: Any, where: str, low: int, high: int) -> int:
    """The integer `value`, low <= value <= high (true and false are no integers)."""
    if type(value) is not int or not low <= value <= high:
        raise Unreadable(f"{where} must be an integer from {low} to {high}")
    return value


def number(value: Any, where: str) -> Fraction:
    """Exact rational of a string: a C99 hex float such as float.hex() writes, or 'p' or 'p/q' in decimal integers."""
    digits = text(value, where)
    if len(digits) > MAX_DIGITS:
        raise Unreadable(f"{where} has more than {MAX_DIGITS} characters")
    binary, ratio = HEX_FLOAT.fullmatch(digits), RATIONAL.fullmatch(digits)
    if binary:
        sign, whole, part, exponent = binary.groups(default="")
        return int(sign + "1") * int(whole + part, 16) * Fraction(2) ** (int(exponent) - 4 * len(part))
    if ratio and (ratio[2] or "1").strip("0"):
        return Fraction(int(ratio[1]), int(ratio[2] or "1"))
    raise Unreadable(f"{where} must be a C99 hex float or a rational, got '{printable(digits, 60)}'")


def numbers(value: Any, where: str, length: int | None = None) -> list[Fraction]:
    """Exact rationals of a list of numbers."""
    return [number(item, where) for item in sequence(value, where, length)]


def float64s(value: Any, where: str, length: int) -> NDArray[np.float64]:
    """Numbers that must be float64 values exactly, shape (length,)."""
    low, high = enclosure(numbers(value, where, length))
    if not np.array_equal(low, high):
        raise Unreadable(f"{where} must be exact float64 values")
    return low


def enclosure(values: list[Fraction]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest float64 values <= and smallest >= the rationals; equal where they are float64 values."""
    try:
        near = np.array([v.numerator / v.denominator for v in values], dtype=np.float64)
    except OverflowError as error:
        raise Unreadable("a number is outside the range of float64") from error
    nearest = [Fraction(f) for f in near.tolist()]
    below = np.array([f > v for f, v in zip(nearest, values, strict=True)], dtype=bool)
    above = np.array([f < v for f, v in zip(nearest, values, strict=True)], dtype=bool)
    low = np.where(below, np.nextafter(near, -np.inf), near)
    high = np.where(above, np.nextafter(near, np.inf), near)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise Unreadable("a number is outside the range of float64")
    return low, high


@dataclass(frozen=True, eq=False)
class Constants:
    """A flat array of exact rationals with its float64 enclosure low <= value <= high, each shape (size,)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rationals: tuple[Fraction, ...] | None = None

    def exact(self) -> list[Fraction]:
        """The values as fractions."""
        return [Fraction(v) for v in self.low.tolist()] if self.rationals is None else list(self.rationals)

    def key(self) -> bytes:
        """Equal for two arrays exactly when their values are equal, however they were written."""
        if np.array_equal(self.low, self.high):
            return b"f" + (self.low + 0.0).tobytes()  # + 0.0 makes -0.0 the same rational, 0
        return b"q" + " ".join(map(str, self.exact())).encode()


def array(value: Any, where: str) -> Constants:
    """An array of the file: {"f8": base64}, {"f4": base64} or {"q": [number...]}."""
    if not isinstance(value, dict) or len(value) != 1:
        raise Unreadable(f"{where} must be an array, one of 'f8', 'f4' and 'q'")
    ((kind, content),) = value.items()
    if kind == "q":
        rationals = tuple(numbers(content, where))
        return Constants(*enclosure(list(rationals)), rationals)
    if kind not in ("f8", "f4"):
        raise Unreadable(f"{where}: unknown array kind '{printable(kind, 60)}'")
    try:
        values = np.frombuffer(base64.b64decode(text(content, where), validate=True), "<" + kind).astype(np.float64)
    except ValueError as error:
        raise Unreadable(f"{where} is not base64 of whole {kind} values") from error
    if not np.isfinite(values).all():
        raise Unreadable(f"{where} holds a value that is not finite")
    return Constants(values, values)
