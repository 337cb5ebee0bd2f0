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
from ctrlnet.reports.leaves import document_of
from ctrlnet.reports.records import Record

if TYPE_CHECKING:
    from ctrlnet.checker import CheckReport
    from ctrlnet.tasks import Statement

__all__ = ["CheckSettings", "check_file", "main"]


@dataclass(frozen=True)
class CheckSettings:
    """Confirm a certificate by the independent checker, which reads the file alone."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The certificate, RUN/certificates/NAME.cert."""
    against: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: no run)")] = None
    """Folder of a run: trace its policy, model and V again and compare them with the certificate's."""
    exact: bool = False
    """Enclose elementary functions by ball arithmetic (python-flint); slower, one assumption less."""


def main(arguments: list[str], json: bool = False) -> int:
    """Check as the arguments say; status 0 confirmed, 1 rejected or other than the run, 2 unreadable, 3 undecided."""
    console = Console(json)
    settings = parse(CheckSettings, arguments, "ctrlnet check")
    statements = None if settings.against is None else _statements(settings.against)
    report = check_file(settings.file, console, exact=settings.exact)
    if statements is None or settings.against is None or not report.ok:
        console.say(str(report))
        return report.exit_code
    return _compare(settings.file, settings.against, statements, report, console)


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


def _statements(folder: Path) -> Mapping[str, Statement]:
    from ctrlnet.runs import Run
    from ctrlnet.tasks import rebuild

    return rebuild(Run(folder)).statements


def _compare(
    file: Path, folder: Path, statements: Mapping[str, Statement], report: CheckReport, console: Console
) -> int:
    """Say first whether a confirmed certificate is about the run, then what it proves."""
    differences = differences_of(file, folder, statements)
    console.event("compared", file=str(file), run=str(folder), differences=differences)
    if differences:
        console.say(f"CONFIRMED, BUT NOT ABOUT {folder}: the certificate proves something else than that run claims.")
    else:
        console.say(f"CONFIRMED, AND ABOUT {folder}: graphs and statement are those of the run, traced anew.")
    console.say("\n".join(f"  {difference}" for difference in differences))
    console.say(str(report).partition("\n")[2].strip("\n"))
    return int(bool(differences))


def differences_of(file: Path, folder: Path, statements: Mapping[str, Statement]) -> list[str]:
    """What a certificate says otherwise than the run traced anew; empty when it is about that run.

    The run does not fix the level, the prover finds it: it is compared with the run's record of the verdict.
    """
    from ctrlnet.reports.vouching import differences_from

    if file.stem not in statements and len(statements) > 1:
        raise UsageError(f"{folder} has no statement {file.stem!r}; name the file after one: {', '.join(statements)}.")
    name = file.stem if file.stem in statements else next(iter(statements))
    return [*differences_from(statements[name], file), *_level_differences(name, file, folder)]


def _level_differences(name: str, file: Path, folder: Path) -> list[str]:
    from ctrlnet.reports.vouching import figures_of

    path = folder / "certificates" / f"{name}.json"
    level, _ = figures_of(document_of(file)["statement"])
    known = Record.read(path).level if path.exists() else None
    return (
        [f"statement: 'level' is {level!r} in the file, {known!r} in {path.name}"] if known not in (None, level) else []
    )
