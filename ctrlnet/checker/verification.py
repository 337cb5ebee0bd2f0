"""A file in, a report out: read, check, and say what was trusted. No input makes these functions raise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctrlnet.checker.document import MAX_BYTES, Document, document, text
from ctrlnet.checker.exponential_stability import ExponentialStability
from ctrlnet.checker.functions import ULPS, Elementary, numpy_elementary
from ctrlnet.checker.positivity import Positivity
from ctrlnet.checker.report import CheckReport, Unconfirmed, Unreadable, printable
from ctrlnet.checker.statement import Statement

STATEMENTS: dict[str, Callable[[Document, Elementary], Statement]] = {
    "exponential_stability": ExponentialStability,
    "positivity": Positivity,
}
ASSUMPTIONS = (
    "The graphs in the file are the functions meant, which depend on the state alone and remember nothing. The theorem "
    "is about the graphs, in real arithmetic and continuous time, without delay, sampling or rounding of the control; "
    "'ctrlnet check FILE --against RUN' compares them with a run.",
    "The hash covers every byte after the first line: statement, graphs, proof. It detects accidents; "
    "whoever computes it anew meets the mathematics, which rejects what became false.",
    "Python, numpy and the processor keep IEEE 754 float64 (round to nearest, gradual underflow), and a product of "
    "matrices adds the ordinary products in some order.",
)
NUMPY = (
    f"numpy's tanh and exp are within {ULPS} units in the last place, its sin and cos within {ULPS} units in the last "
    "place of 1 for |x| <= 2^20; the exact mode does without this.",
)
EXACT = ("python-flint's ball arithmetic encloses sin, cos, tanh and exp.",)


def check(path: str | os.PathLike[str], exact: bool = False) -> CheckReport:
    """Check a certificate file.

    Args:
        path: the file.
        exact: enclose sin, cos, tanh, exp by ball arithmetic (python-flint) instead of trusting numpy to 8 ulps.

    Returns:
        The report; "unreadable" also when there is no such file. Raises ImportError when `exact` lacks python-flint.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return CheckReport("unreadable", f"the file cannot be read: {printable(str(error), 300)}")
    return check_bytes(data, exact)


def check_bytes(data: bytes, exact: bool = False) -> CheckReport:
    """Check the bytes of a certificate file; see `check`."""
    start, seen = time.perf_counter(), _Seen(exact)
    elementary = _exact_elementary() if exact else numpy_elementary
    status, reason = "confirmed", ""
    try:
        with np.errstate(all="ignore"):
            _confirm(data, elementary, seen)
    except Unconfirmed as failure:
        status, reason = failure.status, str(failure)
    except Exception as failure:  # a defect here must not confirm, nor take the caller down with it
        status, reason = "unreadable", f"the checker failed: {type(failure).__name__} {printable(str(failure), 300)}"
    return seen.report(status, reason, time.perf_counter() - start)


class _Seen:
    """What was learned of a file before its check ended."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.document: Document | None = None
        self.statement: Statement | None = None

    def report(self, status: str, reason: str, seconds: float) -> CheckReport:
        if self.document is None or self.statement is None:
            return CheckReport(status, reason, seconds=seconds, exact=self.exact)
        stated = tuple(f"The file adds: {sentence}" for sentence in self.document.assumptions)
        return CheckReport(
            status, reason, self.statement.words, ASSUMPTIONS + (EXACT if self.exact else NUMPY) + stated,
            self.statement.effort.leaves, self.statement.effort.used, seconds,
            self.document.digest, self.document.provenance, self.exact,
        )  # fmt: skip


def _confirm(data: bytes, elementary: Elementary, seen: _Seen) -> None:
    if len(data) > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES} bytes are too many for this checker")
    found = document(data)
    kind = text(found.statement.get("kind"), "the kind of the statement")
    if kind not in STATEMENTS:
        raise Unreadable(f"unknown kind of statement '{printable(kind, 60)}'; known are {', '.join(STATEMENTS)}")
    seen.document, seen.statement = found, STATEMENTS[kind](found, elementary)
    seen.statement.confirm()


def _exact_elementary() -> Elementary:
    from ctrlnet.checker.balls import ball_elementary

    return ball_elementary
