"""The numbers of a run in words and units: cards, tables, the lines of a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ctrlnet.reports.leaves import digest_in
from ctrlnet.reports.records import Record, Region

__all__ = [
    "DIGEST",
    "area_text",
    "certificate_rows",
    "number",
    "percent",
    "quantity",
    "record_rows",
    "seconds",
    "shares_text",
    "unit_of_volume",
]

DIGEST = "SHA-256 of all after its first line, as 'ctrlnet check' gives it"


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits; nothing for None."""
    return "" if value is None else f"{value:.{digits}g}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with three significant digits."""
    return "" if fraction is None else f"{100 * fraction:.3g} %"


def seconds(value: float | None) -> str:
    """A time with its unit."""
    return "" if value is None else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def quantity(value: float | None, unit: str = "") -> str:
    """A number with its unit, held together by a space that does not break."""
    return "" if value is None else f"{number(value)}\N{NO-BREAK SPACE}{unit}".rstrip()


def unit_of_volume(state: Sequence[tuple[str, str]]) -> str:
    """Unit of the volume of a set of states: `rad²/s` for rad and rad/s."""
    above: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for _, unit in state:
        over, _, under = unit.partition("/")
        above.update(part for part in over.split("·") if part not in ("", "1"))
        below.update(part for part in under.split("·") if part)
    shared = above & below
    over, under = _product(above - shared), _product(below - shared)
    return f"{over or 1}\N{WORD JOINER}/\N{WORD JOINER}{under}" if under else over


def _product(parts: Counter[str]) -> str:
    powers = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "·".join(part + (str(power).translate(powers) if power > 1 else "") for part, power in parts.items())


def area_text(region: Region | None, unit: str = "") -> str:
    """`84.2 ± 0.3 rad²/s`, the size of a region with its standard error."""
    if region is None:
        return ""
    return f"{region.volume:.4g}\N{NO-BREAK SPACE}± {region.error:.1g}\N{NO-BREAK SPACE}{unit}".rstrip()


def shares_text(region: Region | None) -> str:
    """Fractions of the box and, where it is known, of the null-controllable set."""
    if region is None:
        return ""
    of_box = f"{percent(region.volume / region.box)} of the box"
    if not region.controllable:
        return of_box
    return f"{of_box}, {percent(region.volume / region.controllable)} of the null-controllable set"


def record_rows(record: Record, unit: str = "") -> list[tuple[str, str]]:
    """Figures of one statement for a table."""
    region = record.region
    controllable = region.controllable if region else None
    return [
        ("verdict", record.status),
        ("reason", record.reason),
        ("certified level of V", number(record.level, 6)),
        ("largest level without a violation among samples", number(record.sampled_level, 6)),
        ("certified / sampled level", number(record.ratio)),
        ("decay rate of V", quantity(record.rate, "s⁻¹")),
        ("size of the certified region", area_text(region, unit)),
        ("which is of", "the plant's states, with the policy's own state at rest" if region and region.memory else ""),
        ("size of the box", quantity(region.box, unit) if region else ""),
        ("share of the box", percent(region.volume / region.box) if region else ""),
        ("null-controllable set", quantity(controllable, unit)),
        ("share of it", percent(region.volume / controllable) if region and controllable else ""),
        ("boxes that the prover went through", f"{record.boxes:,}"),
        ("time of the prover's search", seconds(record.seconds)),
        *_checked_rows(record),
    ]


def _checked_rows(record: Record) -> list[tuple[str, str]]:
    checked = record.checked
    if checked is None:
        return []
    functions = "enclosed by ball arithmetic" if checked.exact else "numpy, with the error bound of the assumptions"
    return [
        ("independent checker", "confirmed" if checked.confirmed else f"not confirmed: {checked.reason}"),
        ("leaves of the proof that it went through", f"{checked.leaves:,}"),
        ("time of the check", seconds(checked.seconds)),
        ("elementary functions in the check", functions),
    ]


def certificate_rows(path: Path, folder: Path) -> list[tuple[str, str]]:
    """The file of a certificate: name, size, hash."""
    return [
        ("certificate", path.relative_to(folder).as_posix()),
        ("size", f"{path.stat().st_size:,} bytes"),
        (DIGEST, digest_in(path.read_bytes())),
    ]
