"""What a run's certificates prove: the checker asked now, the records beside them, the run traced anew.

Nothing that is said to be proved is taken from a record: kind, level, rate, box, theorem and assumptions come from the
certificate, after the checker confirmed it. A record that says otherwise, or a certificate of another run, is damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrlnet.checker import CheckReport, check_bytes, compare
from ctrlnet.errors import RunDamaged
from ctrlnet.reports.leaves import Array, corner, document_in
from ctrlnet.reports.material import certificates_of
from ctrlnet.reports.records import Checked, Record, Region

if TYPE_CHECKING:
    from ctrlnet.runs import Run
    from ctrlnet.tasks import Statement
    from ctrlnet.tasks.rebuilding import Rebuilt

__all__ = ["differences_from", "figures_of", "vouched"]

KINDS = {"exponential_stability": "ExponentialStability", "positivity": "Positivity"}


def vouched(run: Run, rebuilt: Rebuilt | None) -> tuple[Record, ...]:
    """The records of a run, each that has a certificate with what the checker says of it now.

    A certificate that the checker does not confirm makes its statement undecided.

    Args:
        run: the folder.
        rebuilt: its objects, to be traced anew; None where they cannot be imported: then the hashes of the weights
            tell whether a certificate is the run's.

    Raises:
        RunDamaged: a record and its certificate differ, one of them is missing, or the certificate is another run's.
    """
    records, certificates = certificates_of(run.path)
    known = {record.name: record for record in records}
    for name, record in known.items():
        if record.status == "certified" and name not in certificates:
            raise _damaged(run.path / "certificates" / f"{name}.cert", run, "is missing, though its record is there")
    for name, path in certificates.items():
        if name not in known:
            raise _damaged(path.with_suffix(".json"), run, "is missing, though its certificate is there")
        known[name] = _vouched(known[name], path, run, rebuilt)
    return tuple(known.values())


def _vouched(record: Record, path: Path, run: Run, rebuilt: Rebuilt | None) -> Record:
    data = path.read_bytes()
    report = check_bytes(data)
    if report.status == "unreadable":
        raise _damaged(path, run, f"was truncated or edited, or is no certificate: {report.reason}")
    document = document_in(data, path)
    differences = _record_differences(record, document, report)
    if differences:
        said = path.with_suffix(".json")
        raise _damaged(said, run, f"says otherwise than {path.name} beside it: {'; '.join(differences)}")
    foreign = _run_differences(record.name, path, document, run, rebuilt)
    if foreign:
        raise _damaged(path, run, f"is not about this run: {'; '.join(foreign)}")
    return _told(record, document["statement"], report)


def _record_differences(record: Record, document: Mapping[str, Any], report: CheckReport) -> list[str]:
    level, rate = figures_of(document["statement"])
    proved = {"status": "certified", "level": level, "rate": rate, "certificate": report.digest}
    found = {name: getattr(record, name) for name in proved}
    return [f"{name} {found[name]!r}, not {value!r}" for name, value in proved.items() if found[name] != value]


def figures_of(statement: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Level and rate of a certificate's statement, of its first condition that has them; None where none has.

    The level of an ultimate bound is that of the outer set.
    """
    said = [statement, *statement.get("conditions", ()), *(part["statement"] for part in statement.get("parts", ()))]
    level, rate = (
        next((float(corner([one[name]])[0]) for one in said for name in names if name in one), None)
        for names in (("level", "outer"), ("rate",))
    )
    return level, rate


def _run_differences(
    name: str, path: Path, document: Mapping[str, Any], run: Run, rebuilt: Rebuilt | None
) -> list[str]:
    if rebuilt is None:
        return _weight_differences(document, run)
    if name not in rebuilt.statements:
        return [f"the run has no statement {name!r}, only {', '.join(rebuilt.statements)}"]
    return _weight_differences(document, run) or differences_from(rebuilt.statements[name], path)


def _weight_differences(document: Mapping[str, Any], run: Run) -> list[str]:
    """Weights whose hashes in the certificate's provenance are not the run's; a provenance may be any JSON."""
    origin = document.get("provenance")
    files = origin.get("files") if isinstance(origin, dict) else None
    if not isinstance(files, dict):
        return ["it does not name the weights that it was made from"]
    weights = {one for one in {*files, *run.hashes} if one.endswith(".safetensors")}
    return [f"it was made from another {one}" for one in sorted(weights) if files.get(one) != run.hashes.get(one)]


def differences_from(statement: Statement, path: Path) -> list[str]:
    """What a certificate says otherwise than a statement traced anew; empty when it is about that one.

    The run does not fix the level, the prover finds it: it is not compared here.
    """
    from ctrlnet.prover import statement_of

    condition, loop, box = statement
    level, _ = figures_of(document_in(path.read_bytes(), path)["statement"])
    said = statement_of(condition, loop, box, level)
    return compare(path, said["graphs"], said["statement"])


def _told(record: Record, statement: Mapping[str, Any], report: CheckReport) -> Record:
    """The record with everything that the certificate itself says."""
    lower, upper = (corner(statement["box"][side]) for side in ("lower", "upper"))
    level, rate = figures_of(statement)
    told = replace(
        record,
        kind=KINDS.get(statement["kind"], statement["kind"]),
        level=level,
        rate=rate,
        statement=report.statement,
        assumptions=report.assumptions,
        region=_region(record.region, upper - lower),
        checked=Checked(report.ok, report.leaves, report.seconds, report.exact, report.reason),
    )
    if report.ok:
        return told
    reason = f"The independent checker does not confirm its certificate: {report.reason}"
    return replace(told, status="undecided", level=None, region=None, reason=reason)


def _region(region: Region | None, widths: Array) -> Region | None:
    """The region with the volume of the box that the certificate names, less the axes of the policy's own state."""
    if region is None:
        return None
    return replace(region, box=float(widths[: len(widths) - region.memory].prod()))


def _damaged(path: Path, run: Run, what: str) -> RunDamaged:
    return RunDamaged(f"{path} {what}. Prove it again: ctrlnet certify {run.path}")
