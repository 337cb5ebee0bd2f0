"""Records beside certificates: written, read, refused when damaged."""

from __future__ import annotations

import json

import pytest
from reports import synthetic

from ctrlnet.errors import RunDamaged, RunFormat
from ctrlnet.reports.records import Record
from ctrlnet.reports.wording import quantity, seconds, shares_text, unit_of_volume


def test_a_record_comes_back_as_it_was(tmp_path) -> None:
    path = tmp_path / "stability.json"
    path.write_bytes(synthetic.record().as_json())
    assert Record.read(path) == synthetic.record()


@pytest.mark.parametrize("cut", [0, 1, 20, 300])
def test_a_truncated_record_is_damaged(tmp_path, cut: int) -> None:
    path = tmp_path / "stability.json"
    path.write_bytes(synthetic.record().as_json()[:cut])
    with pytest.raises(RunDamaged, match="not a whole record"):
        Record.read(path)


@pytest.mark.parametrize("change", [{"extra": 1}, {"region": {"wrong": 1}}, {"checked": 3}])
def test_a_foreign_entry_is_damage(tmp_path, change: dict) -> None:
    path = tmp_path / "stability.json"
    path.write_text(json.dumps({**json.loads(synthetic.record().as_json()), **change}))
    with pytest.raises(RunDamaged):
        Record.read(path)


def test_another_format_is_named(tmp_path) -> None:
    path = tmp_path / "stability.json"
    path.write_text(json.dumps({**json.loads(synthetic.record().as_json()), "format": 2}))
    with pytest.raises(RunFormat, match="format 2"):
        Record.read(path)


def test_ratio_needs_both_levels() -> None:
    assert synthetic.record().ratio == pytest.approx(6 / 6.08)
    assert Record("a", "b", "undecided", None, 1.0, None, 0, 0.0).ratio is None


@pytest.mark.parametrize(
    ("units", "expected"),
    [(["rad", "rad/s"], "rad²/s"), (["m", "m"], "m²"), (["m", "m/s", "rad", "rad/s"], "m²·rad²/s²"),
     (["", ""], ""), (["1/s"], "1/s"), (["m·s", "1/s"], "m")],
)  # fmt: skip
def test_units_multiply(units: list[str], expected: str) -> None:
    assert unit_of_volume([("q", unit) for unit in units]).replace("\N{WORD JOINER}", "") == expected


def test_words_for_numbers() -> None:
    assert quantity(None) == ""
    assert quantity(0.123456, "rad") == "0.1235\N{NO-BREAK SPACE}rad"
    assert (seconds(1.234), seconds(123.4)) == ("1.23 s", "123 s")
    assert "null-controllable" in shares_text(synthetic.record().region)
