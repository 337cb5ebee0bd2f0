"""`ctrlnet train`: stopped by a signal, gone on with, refused in between; what the progress line says."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

import ctrlnet
from ctrlnet import Run
from ctrlnet.cli import main
from ctrlnet.cli import train as verb

Capture = pytest.CaptureFixture[str]


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Make the pendulum's recipe a matter of a second."""
    recipe = ctrlnet.Recipe(steps=20, imitation_steps=20, repairs=1, repair_steps=5, probe=512, state_cost=(1.0, 0.1))
    patch.setattr(ctrlnet.load("environments", "pendulum"), "recipe", recipe)


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """The pendulum's short training, stopped by SIGTERM after step 10."""
    shorten(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(verb, "_told", lambda advance: _signal_at_10)
        assert main(["train", "pendulum", "--out", str(tmp_path / "run")]) == 143
    told = " ".join(capsys.readouterr().err.split())
    assert "stopped after step 10" in told and f"ctrlnet train --resume {tmp_path / 'run'}" in told
    return tmp_path / "run"


def _signal_at_10(step: int, steps: int, row: object) -> None:
    if step == 10:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("again", [["--resume", "{run}"], ["pendulum", "--resume", "--out", "{run}"]])
def test_both_forms_go_on_to_the_same_run(stopped: Path, tmp_path: Path, again: list[str]) -> None:
    assert main(["train", *(word.format(run=stopped) for word in again)]) == 0
    assert main(["train", "pendulum", "--out", str(tmp_path / "whole")]) == 0
    found, whole = Run(stopped).hashes, Run(tmp_path / "whole").hashes
    assert {name: one for name, one in found.items() if name != "metrics.csv"} == {
        name: one for name, one in whole.items() if name != "metrics.csv"
    }


def test_the_place_of_an_unfinished_training_serves_too(stopped: Path) -> None:
    assert main(["train", "--resume", f"{stopped}.partial"]) == 0
    assert main(["train", "--resume", str(stopped)]) == 0  # finished by now, and left as it is


@pytest.mark.parametrize("words", [["certify"], ["validate"], ["report"]])
def test_other_verbs_refuse_it(stopped: Path, words: list[str], capsys: Capture) -> None:
    for place in (stopped, stopped.with_name("run.partial")):
        assert main([*words, str(place)]) == 2
        assert f"ctrlnet train --resume {place}" in " ".join(capsys.readouterr().err.split())


def test_another_seed_is_told(stopped: Path, capsys: Capture) -> None:
    assert main(["train", "pendulum", "--resume", "--seed", "1", "--out", str(stopped)]) == 2
    assert "training.seed was 0 and is 1" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("verb_name", ["train", "run"])
def test_to_go_on_and_to_throw_away_is_refused(stopped: Path, verb_name: str, capsys: Capture) -> None:
    assert main([verb_name, "pendulum", "--resume", "--overwrite", "--out", str(stopped)]) == 2
    told = capsys.readouterr()
    assert "--resume and --overwrite" in " ".join(told.err.split()) and told.out == ""
    assert any(stopped.with_name("run.partial").glob("checkpoints/*"))


@pytest.mark.parametrize("again", [["--resume", "{run}"], ["pendulum", "--resume", "--out", "{run}"]])
def test_ctrl_c_that_does_not_wait_tells_how_to_go_on(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, again: list[str]
) -> None:
    def twice(step: int, steps: int, row: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "_told", lambda advance: twice)
    assert main(["train", *(word.format(run=stopped) for word in again)]) == 130
    told = " ".join(capsys.readouterr().err.split())
    assert f"go on: ctrlnet train --resume {stopped}" in told and "Nothing was written" not in told


def test_a_full_disk_is_told_with_what_stays(stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["train", "--resume", str(stopped)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"File too large: {stopped}.partial" in told and "The last checkpoint stays" in told


def test_there_is_nothing_to_go_on_with(tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "--resume", str(tmp_path / "nowhere")]) == 2
    assert "no training to go on with" in " ".join(capsys.readouterr().err.split())


def test_the_progress_says_loss_violation_speed_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shorten(monkeypatch)
    assert main(["train", "pendulum", "--out", str(tmp_path / "run"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    notes = [line["note"] for line in lines if line["event"] == "progress"]
    assert notes[0].startswith("loss ") and "violating" in notes[0]
    told: list[tuple[object, ...]] = []
    advance = verb._told(lambda *words: told.append(words))
    for step, seconds in ((100, 10.0), (150, 12.0)):
        advance(step, 250, {"loss": 0.5, "violating": 0.02, "seconds": seconds})
    assert told[-1] == (150, 250, "loss 0.5, violating 2 %, 25 steps/s, at most 4 s left")


def test_options_of_the_engine_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shorten(monkeypatch)
    assert main(["train", "pendulum", "--out", str(tmp_path / "run"), "--accumulate", "2"]) == 0
    assert Run(tmp_path / "run").settings["training"]["engine"]["accumulate"] == 2
    assert main(["train", "pendulum", "--out", str(tmp_path / "other"), "--precision", "bf16"]) == 2
    assert "float32" in capsys.readouterr().err
