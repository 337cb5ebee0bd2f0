"""The independent checker of certificates: numpy and the standard library, nothing else of ctrlnet, no torch.

python -m ctrlnet.checker FILE
report = ctrlnet.check(FILE); report.ok, report.statement, report.assumptions
"""

from __future__ import annotations

from ctrlnet.checker.comparison import compare
from ctrlnet.checker.report import CheckReport
from ctrlnet.checker.verification import check, check_bytes, refusal_without_leaves

__all__ = ["CheckReport", "check", "check_bytes", "compare", "refusal_without_leaves"]
