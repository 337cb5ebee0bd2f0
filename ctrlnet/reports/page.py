"""The page as a whole: title, verdict, key numbers, sections."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from string import Template

from ctrlnet.reports import markup, pictures, words
from ctrlnet.reports.material import Material
from ctrlnet.reports.records import Record
from ctrlnet.reports.style import look
from ctrlnet.reports.validations import converged_text, validation_status
from ctrlnet.reports.wording import percent, quantity, seconds, shares_text, unit_of_volume

__all__ = ["page_of", "versions"]

DISTRIBUTIONS = ("ctrlnet", "torch", "mujoco", "numpy", "gymnasium", "matplotlib")
ORDER = ("falsified", "undecided", "certified")


def page_of(material: Material) -> str:
    """The report as one self-contained HTML document, which is also well-formed XML."""
    with look():
        sections = (
            words.theorems(material),
            pictures.portraits(material),
            pictures.film(material),
            words.figures(material),
            pictures.proofs(material),
            pictures.trajectories(material),
            pictures.controls(material),
            words.validation(material),
            pictures.training(material),
            words.verify(material),
            words.provenance(material, versions()),
        )
    title = f"{material.name}: {verdict_of(material)}"
    return Template(_asset("page.html")).substitute(
        title=escape(title),
        heading=escape(heading_of(material)),
        generator=f"ctrlnet {dict(versions())['ctrlnet']}",
        style=_asset("page.css"),
        badges=" ".join(_badges(material)),
        lead=escape(_lead(material)),
        cards=_cards(material),
        sections="\n".join(section for section in sections if section),
        footer=escape(f"Written by ctrlnet {dict(versions())['ctrlnet']} from the run folder {material.folder.name}."),
    )


def versions() -> list[tuple[str, str]]:
    """Versions of what made the page; a distribution that is not installed is left out."""
    found = [("python", platform.python_version())]
    for name in DISTRIBUTIONS:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found += [(name, "not installed as a distribution")] * (name == "ctrlnet")
    return found


def verdict_of(material: Material) -> str:
    """The worst status of the run's statements, or "not certified" when there is none."""
    statuses = {record.status for record in material.records}
    return next((status for status in ORDER if status in statuses), "not certified")


def heading_of(material: Material) -> str:
    """`Pendulum, torque limit 0.75`: the task and its parameters."""
    name = material.name.replace("_", " ")
    told = [f"{key.replace('_', ' ')} {value}" for key, value in material.parameters.items()]
    return ", ".join([name[:1].upper() + name[1:], *told])


def _badges(material: Material) -> Iterator[str]:
    verdict = verdict_of(material)
    yield markup.badge(verdict, markup.TONES.get(verdict, "none"))
    checks = [record.checked for record in material.records if record.checked is not None]
    if checks:
        confirmed = all(check.confirmed for check in checks)
        yield markup.badge("checked" if confirmed else "not confirmed by the checker", "good" if confirmed else "bad")
    if material.validation is not None:
        passed = validation_status(material.validation)
        yield markup.badge("validated" if passed else "validation failed", "good" if passed else "bad")
    else:
        yield markup.badge("not validated", "none")


def _lead(material: Material) -> str:
    """The result in one sentence."""
    proved = [record for record in material.records if record.status == "certified"]
    if not proved:
        return "No statement about this policy is certified."
    first = proved[0]
    rate = f" exponentially at rate {quantity(first.rate, 's⁻¹')}" if first.rate else ""
    return (
        f"Every state of the certified region converges to the equilibrium{rate} and never leaves the region: proved "
        "for all of its states, confirmed by an independent checker."
    )


def _cards(material: Material) -> str:
    unit = unit_of_volume(material.subject.plant_state) if material.subject else ""
    cards = [card for record in material.records for card in _record_cards(record, unit)]
    if material.validation is not None:
        cards += [markup.card(*converged_text(material.validation))]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _record_cards(record: Record, unit: str) -> Iterator[str]:
    if record.region is not None:
        yield markup.card(quantity(record.region.volume, unit), f"certified region: {shares_text(record.region)}")
    if record.ratio is not None:
        yield markup.card(percent(record.ratio), "of the largest level at which dense sampling finds no violation")
    if record.rate is not None:
        yield markup.card(quantity(record.rate, "s⁻¹"), "certified decay rate of V")
    yield markup.card(seconds(record.seconds), f"prover's search, {record.boxes:,} boxes")
    if record.checked is not None and record.checked.confirmed:
        yield markup.card(seconds(record.checked.seconds), f"independent check, {record.checked.leaves:,} leaves")


def _asset(name: str) -> str:
    return files("ctrlnet.reports").joinpath("assets", name).read_text(encoding="utf-8")
