"""Voices: JSON lines, bars, plain lines."""

from __future__ import annotations

import json
import math

import pytest

from ctrlnet.cli.console import Console, _quarters, finite


def test_json_speaks_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=True)
    console.say("for people")
    console.event("done", value=math.inf, path=[1.0, math.nan], inner={"a": -math.inf})
    with console.progress("train") as advance:
        for step in range(11):
            advance(step, 10, "loss 1")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"event": "done", "value": None, "path": [1.0, None], "inner": {"a": None}}
    assert lines[-1] == {"event": "progress", "stage": "train", "done": 10, "total": 10, "note": "loss 1"}
    assert len(lines) <= 4  # thinned


def test_plain_output_has_a_line_a_quarter() -> None:
    said: list[str] = []
    advance = _quarters("train", said.append, interval=0.0)
    for step in range(101):
        advance(step, 100, f"loss {100 - step}")
    assert [line.split() for line in said] == [
        ["train", "25", "%", "loss", "75"],
        ["train", "50", "%", "loss", "50"],
        ["train", "75", "%", "loss", "25"],
    ]


def test_short_work_is_not_told_in_quarters(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("train") as advance:
        for step in range(101):
            advance(step, 100)
    assert capsys.readouterr().out == ""


def test_bars_on_a_terminal_stay_off_stdout(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    console = Console()
    assert console.terminal
    with console.progress("train") as advance:
        advance(1, 2)
        advance(2, 2, "done")
    assert capsys.readouterr().out == ""


def test_finite_leaves_the_rest_alone() -> None:
    assert finite({"a": (1, "x", None, True)}) == {"a": [1, "x", None, True]}
