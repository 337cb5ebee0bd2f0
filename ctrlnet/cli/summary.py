"""The end of `ctrlnet run`: what was proved, checked and seen, in a dozen lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrlnet.reports.records import Record
from ctrlnet.reports.wording import area_text, number, quantity, seconds, shares_text

if TYPE_CHECKING:
    from ctrlnet.checker import CheckReport
    from ctrlnet.cli.settings import TrainSettings
    from ctrlnet.validation import Validation

__all__ = ["heading", "summary"]

Row = tuple[str, str]


def heading(name: str, settings: TrainSettings[Any, Any], folder: Path) -> str:
    """`pendulum, torque limit 0.75, seed 0 -> runs/pendulum`."""
    env = settings.env
    parameters = {one.name: getattr(env, one.name) for one in fields(env)} if is_dataclass(env) else {}
    told = [f"{key.replace('_', ' ')} {value}" for key, value in parameters.items()]
    return f"{', '.join([name, *told, f'seed {settings.seed}'])} -> {folder}"


def summary(
    records: Sequence[Record],
    checks: Sequence[CheckReport],
    validation: Validation | None,
    note: str,
    page: Path,
) -> tuple[list[str], str]:
    """Aligned lines, and the last one: `certified, checked, validated` when all went well."""
    rows = [row for record in records for row in _record_rows(record)]
    rows += [row for check in checks for row in _check_rows(check)]
    rows += list(_validation_rows(validation))
    rows += [("note", note)] * bool(note) + [("report", str(page))]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}".replace("\N{WORD JOINER}", "") for name, value in rows if value]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines], _verdict(records, checks, validation)


def _record_rows(record: Record) -> Iterator[Row]:
    if record.status != "certified":
        yield record.name, f"{record.status}. {record.reason}".strip()
        return
    yield "level", f"{number(record.level)} (sampled {number(record.sampled_level)}, ratio {number(record.ratio, 3)})"
    if record.region is not None:
        yield "area", f"{area_text(record.region)} ({shares_text(record.region)})"
    yield "rate", quantity(record.rate, "1/s")
    yield "proof", f"{record.boxes:,} boxes in {seconds(record.seconds)}"


def _check_rows(check: CheckReport) -> Iterator[Row]:
    said = f"{check.status}: {check.reason}" if check.reason else check.status
    yield "checker", f"{said}, {check.leaves:,} leaves in {seconds(check.seconds)}"


def _validation_rows(validation: Validation | None) -> Iterator[Row]:
    if validation is None:
        return
    yield "simulation", validation.summary
    settle = validation.settle
    yield "settling", f"median {seconds(settle.median)}, longest {seconds(settle.longest)}" if settle.median else ""
    if validation.gap is not None:
        gap = f"{validation.gap['maximum']:.2g} after one period of {validation.control.period:g} s"
        yield "model gap", f"at most {gap}, over {validation.gap['count']} states"


def _verdict(records: Sequence[Record], checks: Sequence[CheckReport], validation: Validation | None) -> str:
    words = [_worst([record.status for record in records], ("falsified", "undecided", "certified"))]
    if checks:
        words.append("checked" if all(check.ok for check in checks) else "not confirmed by the checker")
    if validation is not None:
        words.append("validated" if validation.passed else f"validation failed ({validation.status})")
    return ", ".join(words)


def _worst(statuses: list[str], order: Sequence[str]) -> str:
    return next((status for status in order if status in statuses), "nothing to certify")
