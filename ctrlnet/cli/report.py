"""`ctrlnet report RUN`: write RUN/report.html, one self-contained page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import parse

__all__ = ["main", "report_run"]


@dataclass(frozen=True)
class ReportSettings:
    """Write RUN/report.html: theorem, figures, film, versions and hashes in one self-contained page."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""


def main(arguments: list[str], json: bool = False) -> int:
    """Write the page and name it."""
    console = Console(json)
    settings = parse(ReportSettings, arguments, "ctrlnet report")
    console.say(str(report_run(settings.run, console)))
    return 0


def report_run(folder: Path, console: Console) -> Path:
    """The page written."""
    from ctrlnet.reports import report

    with keeping(folder):
        page = report(folder)
    console.event("reported", report=str(page), bytes=page.stat().st_size)
    return page
