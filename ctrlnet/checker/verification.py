"""A file in, a report out: read, check, and say what was trusted. No input makes these functions raise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctrlnet.checker.conjunction import Conjunction
from ctrlnet.checker.document import MAX_BYTES, Document, document, text
from ctrlnet.checker.functions import ULPS, Elementary, numpy_elementary
from ctrlnet.checker.kinds import KINDS
from ctrlnet.checker.report import CheckReport, Unconfirmed, Unreadable, printable
from ctrlnet.checker.statement import Statement

STATEMENTS: dict[str, Callable[[Document, Elementary], Statement | Conjunction]] = {**KINDS, "conjunction": Conjunction}
ASSUMPTIONS = (
    "The graphs in the file are the functions meant, which depend on the state, and F, or f and g, on the disturbance "
    "if there is one, and remember nothing. The theorem is about the graphs, in real arithmetic: x' = F in "
    "continuous time, without delay or rounding of the control, and without sampling unless it names a period, at "
    "whose multiples the control is then renewed and held exactly; x(k + 1) = F at the instants of that map and not "
    "between. 'ctrlnet check FILE --against RUN' compares them with a run.",
    "A solution of x' = F is absolutely continuous; a disturbance d(t) is measurable and stays in its box D; where F "
    "switches, solutions are Filippov's.",
    "The hash covers every byte after the first line: statement, graphs, proof. It detects accidents; "
    "whoever computes it anew meets the mathematics, which rejects what became false.",
    "Python, numpy and the processor keep IEEE 754 float64 (round to nearest, gradual underflow), and a product of "
    "matrices adds the ordinary products in some order.",
)
NUMPY = (
    f"numpy's tanh, exp, log, log1p and arctan and Python's math.erf are within {ULPS} units in the last place, "
    f"numpy's sin and cos within {ULPS} units in the last place of 1 for |x| <= 2^20, square roots are rounded "
    "correctly; the exact mode does without all but the last.",
)
EXACT = (
    "python-flint's ball arithmetic encloses the elementary functions; square roots are rounded correctly by IEEE 754.",
)


def check(path: str | os.PathLike[str], exact: bool = False) -> CheckReport:
    """Check a certificate file.

    Args:
        path: the file.
        exact: enclose elementary functions by ball arithmetic (python-flint) instead of trusting numpy to 8 ulps.

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


def refusal_without_leaves(data: bytes) -> str:
    """Why a file is refused before its leaves are looked at, "" if it is not: no confirmation, but quick."""
    try:
        with np.errstate(all="ignore"):
            found = document(data)
            statement = KINDS[text(found.statement.get("kind"), "the kind of the statement")](found, numpy_elementary)
            list(statement.goals(dict(found.proof)))
    except Unconfirmed as failure:
        return str(failure)
    return ""


class _Seen:
    """What was learned of a file before its check ended."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.document: Document | None = None
        self.statement: Statement | Conjunction | None = None

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
