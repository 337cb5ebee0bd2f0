"""Processor time, of one thread: a busy machine does not lengthen it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch

from ctrlnet import Verdict, certify


class Proof(NamedTuple):
    """A verdict, and the processor's seconds for the search (the equilibrium and the trace included) and the check."""

    verdict: Verdict
    search: float
    check: float


def timed_certify(*arguments: Any, **options: Any) -> Proof:
    """`certify` with the processor's time divided between search and check as the clock's is."""
    torch.set_num_threads(1)
    started, clock = time.process_time(), time.perf_counter()
    verdict = certify(*arguments, **options)
    whole, elapsed = time.process_time() - started, time.perf_counter() - clock
    check = 0.0 if verdict.report is None else whole * verdict.report.seconds / elapsed
    return Proof(verdict, whole - check, check)
