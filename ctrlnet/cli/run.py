"""`ctrlnet run NAME`: train, certify, check, validate and report, in one go."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ctrlnet.cli.certify import CertifySettings, certify_run, exit_status
from ctrlnet.cli.check import check_file
from ctrlnet.cli.console import Console
from ctrlnet.cli.report import report_run
from ctrlnet.cli.settings import parse_task
from ctrlnet.cli.summary import heading, summary
from ctrlnet.cli.train import folder_of, require_usable, train_run
from ctrlnet.cli.validate import ValidateSettings, validate_run

if TYPE_CHECKING:
    from ctrlnet.checker import CheckReport
    from ctrlnet.reports.records import Record
    from ctrlnet.validation import Validation

__all__ = ["main"]

Result = TypeVar("Result")


def main(arguments: list[str], json: bool = False) -> int:
    """Drive a task from its name to a report; status 0 all went well, 1 falsified or contradicted, 3 undecided."""
    console = Console(json)
    name, settings = parse_task(arguments, "run")
    folder = folder_of(name, settings)
    require_usable(settings, folder)
    began = time.perf_counter()
    console.say(heading(name, settings, folder))
    _timed(console, "train", lambda: train_run(settings, folder, console))
    records = _timed(console, "certify", lambda: certify_run(CertifySettings(folder), console))
    checks = _timed(console, "check", lambda: _check(folder, console))
    validation, note = None, ""
    if not exit_status(records):
        validation, note = _timed(console, "validate", lambda: validate_run(ValidateSettings(folder), console))
    page = _timed(console, "report", lambda: report_run(folder, console))
    lines, verdict = summary(records, checks, validation, note, page)
    console.say("\n" + "\n".join(lines) + "\n\n" + verdict)
    status = _status(records, checks, validation)
    console.event("done", verdict=verdict, status=status, run=str(folder), seconds=time.perf_counter() - began)
    return status


def _check(folder: Path, console: Console) -> list[CheckReport]:
    return [check_file(path, console) for path in sorted((folder / "certificates").glob("*.cert"))]


def _status(records: list[Record], checks: list[CheckReport], validation: Validation | None) -> int:
    status = exit_status(records) or max((check.exit_code for check in checks), default=0)
    return status or int(validation is not None and not validation.passed)


def _timed(console: Console, title: str, work: Callable[[], Result]) -> Result:
    began = time.perf_counter()
    result = work()
    console.say(f"  {title:<9} {time.perf_counter() - began:6.1f} s")
    return result
