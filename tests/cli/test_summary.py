"""The last lines of `ctrlnet run`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from reports.synthetic import VALIDATION, record

from ctrlnet.checker import CheckReport
from ctrlnet.cli.certify import exit_status, line_of
from ctrlnet.cli.run import _status
from ctrlnet.cli.summary import heading, summary

OK = CheckReport("confirmed", leaves=3000, seconds=0.5)
REJECTED = CheckReport("rejected", reason="a leaf is wrong", leaves=3000, seconds=0.5)
FALSIFIED = dataclasses.replace(
    record(), status="falsified", level=None, region=None, reason="r", counterexample=(1.0,)
)
UNDECIDED = dataclasses.replace(record(), status="undecided", level=None, region=None, reason="out of time")


def seen(passed: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        passed=passed,
        status="confirmed" if passed else "contradicted",
        summary=VALIDATION["summary"],
        settle=SimpleNamespace(**VALIDATION["settle"]),
        gap=VALIDATION["gap"],
        control=SimpleNamespace(**VALIDATION["control"]),
    )


def test_all_went_well() -> None:
    lines, verdict = summary([record()], [OK], seen(), "", Path("runs/pendulum/report.html"))
    text = "\n".join(lines)
    assert verdict == "certified, checked, validated"
    for shown in (
        "6 (sampled 6.08, ratio 0.987)",
        "22.1 ± 0.05",
        "23 % of the box",
        "3.91 %",
        "0.1 1/s",
        "3,210 boxes",
    ):
        assert shown in text, shown
    for shown in ("confirmed, 3,000 leaves in 0.50 s", "1000 of 1000", "report.html", "2e-09"):
        assert shown in text, shown
    assert all(line.isprintable() and len(line) <= 120 for line in lines)


@pytest.mark.parametrize(
    ("records", "checks", "validation", "verdict", "status"),
    [
        ([record()], [OK], True, "certified, checked, validated", 0),
        ([record()], [OK], False, "certified, checked, validation failed (contradicted)", 1),
        ([record()], [REJECTED], None, "certified, not confirmed by the checker", 1),
        ([FALSIFIED], [], None, "falsified", 1),
        ([UNDECIDED], [], None, "undecided", 3),
        ([record(), UNDECIDED], [OK], None, "undecided, checked", 3),
        ([UNDECIDED, FALSIFIED], [], None, "falsified", 1),
    ],
)
def test_last_line_and_status(records, checks, validation, verdict, status) -> None:
    shown = None if validation is None else seen(validation)
    _, last = summary(records, checks, shown, "", Path("report.html"))
    assert last == verdict
    assert _status(records, checks, shown) == status


def test_no_video_is_told() -> None:
    lines, _ = summary([record()], [OK], seen(), "No video: install libegl1.", Path("report.html"))
    assert any("libegl1" in line for line in lines)


def test_lines_of_certify() -> None:
    assert line_of(record()) == "stability: certified, level 6, 3,210 boxes, 1.23 s"
    assert "falsified at (1.0,)" in line_of(FALSIFIED)
    assert "undecided. out of time" in line_of(UNDECIDED)
    tried = dataclasses.replace(UNDECIDED, counterexample=(-8.5, 12.0))
    assert " at " not in line_of(tried), "where the search stopped is no counterexample"
    assert [exit_status([one]) for one in (record(), FALSIFIED, UNDECIDED)] == [0, 1, 3]


def test_heading_names_parameters() -> None:
    @dataclasses.dataclass
    class Plant:
        torque_limit: float = 0.75

    settings = SimpleNamespace(env=Plant(), seed=3)
    assert heading("pendulum", settings, Path("runs/p")) == "pendulum, torque limit 0.75, seed 3 -> runs/p"
