"""`ctrlnet certify RUN`: prove the run's conditions and write its certificates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import parse, require_positive
from ctrlnet.reports.leaves import digest_in
from ctrlnet.reports.records import Checked, Record, Region

if TYPE_CHECKING:
    from ctrlnet.prover import Verdict
    from ctrlnet.runs import Run
    from ctrlnet.tasks import Statement
    from ctrlnet.tasks.rebuilding import Rebuilt

__all__ = ["CertifySettings", "certify_run", "exit_status", "main"]

EXIT = {"certified": 0, "undecided": 3, "falsified": 1}
SAMPLES = 400_000  # of the area: a standard error of 0.1 % of the box


@dataclass(frozen=True)
class CertifySettings:
    """Prove what a run claims and write certificates/NAME.cert; a false claim gets a counterexample instead."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""
    level: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="(default: the largest found)")] = None
    """Level of V to prove."""
    seconds: float = 60.0
    """Time after which the search for a proof gives up, a statement [s]."""


def main(arguments: list[str], json: bool = False) -> int:
    """Certify as the arguments say; status 0 certified, 1 falsified, 3 undecided."""
    console = Console(json)
    settings = parse(CertifySettings, arguments, "ctrlnet certify")
    require_positive(level=settings.level, seconds=settings.seconds)
    records = certify_run(settings, console)
    for record in records:
        console.say(line_of(record))
    return exit_status(records)


def exit_status(records: Iterable[Record]) -> int:
    """Falsified before undecided before certified: the worst of all statements."""
    statuses = {record.status for record in records}
    return next((EXIT[status] for status in ("falsified", "undecided") if status in statuses), 0)


def line_of(record: Record) -> str:
    """One statement in one line."""
    if record.status == "certified":
        return f"{record.name}: certified, level {record.level:.6g}, {record.boxes:,} boxes, {record.seconds:.2f} s"
    state = record.counterexample if record.status == "falsified" else None
    point = f" at {tuple(round(value, 6) for value in state)}" if state else ""
    return f"{record.name}: {record.status}{point}. {record.reason}".rstrip()


def certify_run(settings: CertifySettings, console: Console) -> list[Record]:
    """A verdict a statement of the run; certificates and records are written beside its policy."""
    from ctrlnet.prover import Budget, certify
    from ctrlnet.runs import Run, write_aside
    from ctrlnet.tasks import rebuild

    rebuilt = rebuild(Run(settings.run))
    home, budget, records = settings.run / "certificates", Budget(settings.seconds), []
    with keeping(settings.run):
        for name, (condition, loop, box) in rebuilt.statements.items():
            origin = provenance_of(rebuilt.run)
            verdict = certify(condition, loop, box, level=settings.level, budget=budget, provenance=origin)
            record = record_of(name, verdict, rebuilt)
            proof = home / f"{name}.cert"
            if verdict.status == "certified":
                verdict.save(proof)
            if verdict.status == "certified" or not proof.exists():
                write_aside(home / f"{name}.json", record.as_json())
            else:  # what was proved once stays true, and stays the run's
                console.say(f"{name}: the certificate of an earlier proof is kept")
            console.event("verdict", **asdict(record), ratio=record.ratio)
            records.append(record)
    return records


def provenance_of(run: Run) -> dict[str, Any]:
    """Where V and F come from: the task with its plug-in, the hashes of the weights, versions."""
    settings = run.settings
    return {"task": settings["task"], "versions": settings.get("versions", {}), "files": run.hashes}


def record_of(name: str, verdict: Verdict, rebuilt: Rebuilt) -> Record:
    """The figures of a verdict, with the size of the region that it certifies."""
    report, point, condition = verdict.report, verdict.counterexample, rebuilt.conditions[name]
    certified = verdict.status == "certified"
    return Record(
        name=name,
        kind=type(condition).__name__,
        status=verdict.status,
        level=verdict.level if certified else None,
        sampled_level=verdict.sampled_level if math.isfinite(verdict.sampled_level) else None,
        rate=float(condition.rate),
        boxes=verdict.boxes,
        seconds=verdict.seconds,
        reason=verdict.reason,
        statement=verdict.statement,
        assumptions=tuple(verdict.assumptions),
        counterexample=None if point is None or certified else tuple(point.tolist()),
        region=_region(verdict.level, rebuilt.statements[name], rebuilt) if certified else None,
        checked=Checked(report.ok, report.leaves, report.seconds, report.exact, report.reason) if report else None,
        certificate=digest_in(verdict.certificate) if certified else "",
    )


def _region(level: float, statement: Statement, rebuilt: Rebuilt) -> Region:
    """Of a policy with an own state z the region of the plant's states that are certified with z = z*."""
    import torch

    from ctrlnet.sets import Sublevel

    V, box, memory = statement.condition.V, statement.box, statement.system.plant.memory
    own = 0 if memory is None else memory.size
    if memory is not None:
        V, box = memory.at_rest(V), memory.without(box)
    volume = Sublevel(V, level, box).volume(SAMPLES, torch.Generator().manual_seed(0))
    known = getattr(getattr(rebuilt.task, "environment", None), "null_controllable_area", None)
    return Region(volume.estimate, volume.standard_error, float(box.volume), known, own)
