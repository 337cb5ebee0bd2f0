"""`ctrlnet check FILE`: confirm a certificate by the independent checker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ctrlnet.cli.console import Console
from ctrlnet.cli.settings import parse
from ctrlnet.errors import UsageError
from ctrlnet.reports.leaves import corner, document_of
from ctrlnet.reports.records import Record

if TYPE_CHECKING:
    from ctrlnet.checker import CheckReport
    from ctrlnet.tasks import Statement

__all__ = ["CheckSettings", "check_file", "main"]


@dataclass(frozen=True)
class CheckSettings:
    """Confirm a certificate by the independent checker, which reads the file alone."""

    file: Positional[Path]
    """The certificate, RUN/certificates/NAME.cert."""
    against: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: no run)")] = None
    """Folder of a run: trace its policy, model and V again and compare them with the certificate's."""
    exact: bool = False
    """Enclose elementary functions by ball arithmetic (python-flint); slower, one assumption less."""


def main(arguments: list[str], json: bool = False) -> int:
    """Check as the arguments say; status 0 confirmed, 1 rejected or other than the run, 2 unreadable, 3 undecided."""
    console = Console(json)
    settings = parse(CheckSettings, arguments, "ctrlnet check")
    report = check_file(settings.file, console, exact=settings.exact)
    console.say(str(report))
    if settings.against is None or not report.ok:
        return report.exit_code
    return _compare(settings.file, settings.against, console)


def check_file(file: Path, console: Console, exact: bool = False) -> CheckReport:
    """What the checker says about a file.

    Raises:
        UsageError: it is a folder; or `exact` without python-flint.
    """
    from ctrlnet.checker import check

    if file.is_dir():
        found = ", ".join(str(path) for path in sorted(file.glob("**/*.cert"))) or "it holds none"
        raise UsageError(f"{file} is a folder; name a certificate: {found}.")
    try:
        report = check(file, exact=exact)
    except ImportError as error:
        raise UsageError(str(error)) from error
    console.event("checked", file=str(file), **asdict(report))
    return report


def _compare(file: Path, folder: Path, console: Console) -> int:
    differences = differences_of(file, folder)
    console.event("compared", file=str(file), run=str(folder), differences=differences)
    if not differences:
        console.say(f"The graphs and the statement are those of the run {folder}, traced anew.")
        return 0
    console.say(f"This certificate is about something else than the run {folder}:")
    for difference in differences:
        console.say(f"  {difference}")
    return 1


def differences_of(file: Path, folder: Path) -> list[str]:
    """What a certificate says otherwise than the run traced anew; empty when it is about that run.

    The run does not fix the level, the prover finds it: it is compared with the run's record of the verdict.
    """
    from ctrlnet.checker import compare
    from ctrlnet.prover import statement_document, statement_loop
    from ctrlnet.runs import Run
    from ctrlnet.tasks import rebuild

    name, (condition, loop, box) = _statement(file.stem, rebuild(Run(folder)).statements, folder)
    (level,) = corner([document_of(file)["statement"]["level"]])
    said = statement_document(statement_loop(condition, loop, box), box, float(level))
    return [*compare(file, said["graphs"], said["statement"]), *_level_differences(name, float(level), folder)]


def _statement(name: str, statements: Mapping[str, Statement], folder: Path) -> tuple[str, Statement]:
    """The statement that a file is named after, or the only one."""
    if name not in statements and len(statements) > 1:
        raise UsageError(f"{folder} has no statement {name!r}; name the file after one: {', '.join(statements)}.")
    name = name if name in statements else next(iter(statements))
    return name, statements[name]


def _level_differences(name: str, level: float, folder: Path) -> list[str]:
    path = folder / "certificates" / f"{name}.json"
    known = Record.read(path).level if path.exists() else level
    return [] if known == level else [f"statement: 'level' is {level!r} in the file, {known!r} in {path.name}"]
