"""Processor time, of one thread: a busy machine does not lengthen it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch

from ctrlnet import Verdict, certify


class Proof(NamedTuple):
    """A verdict, and the processor's seconds for the search, the check, and the whole of `certify`."""

    verdict: Verdict
    search: float
    check: float
    whole: float


def timed_certify(*arguments: Any, **options: Any) -> Proof:
    """`certify`; the processor's time is divided among its parts as the clock's is."""
    torch.set_num_threads(1)
    started, clock = time.process_time(), time.perf_counter()
    verdict = certify(*arguments, **options)
    whole, elapsed = time.process_time() - started, time.perf_counter() - clock
    checked = 0.0 if verdict.report is None else verdict.report.seconds
    return Proof(verdict, whole * verdict.seconds / elapsed, whole * checked / elapsed, whole)
