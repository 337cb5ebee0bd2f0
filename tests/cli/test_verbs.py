"""The verbs on a run: certify, check, validate, report; what a damaged run or certificate gets."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from cli.conftest import shorten

import ctrlnet
from ctrlnet.cli import main
from ctrlnet.cli.validate import ValidateSettings

Capture = pytest.CaptureFixture[str]


def certificate(run: Path) -> Path:
    return run / "certificates" / "stability.cert"


def lines_of(capsys: Capture) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_certificate_and_record_agree(run: Path, capsys: Capture) -> None:
    record = json.loads((run / "certificates" / "stability.json").read_bytes())
    assert record["status"] == "certified" and record["format"] == 1
    assert record["checked"]["confirmed"] is True
    assert 0 < record["region"]["volume"] < record["region"]["box"] == 576
    assert main(["check", str(certificate(run)), "--json"]) == 0
    (report,) = lines_of(capsys)
    assert report["event"] == "checked" and report["status"] == "confirmed"
    assert report["leaves"] == record["checked"]["leaves"]


def test_a_level_too_high_is_falsified(run: Path, capsys: Capture) -> None:
    certificate(run).unlink()
    assert main(["certify", str(run), "--level", "1e3", "--json"]) == 1
    (verdict,) = lines_of(capsys)
    assert verdict["status"] == "falsified" and len(verdict["counterexample"]) == 2
    assert not certificate(run).exists()
    assert main(["validate", str(run)]) == 2
    assert "ctrlnet certify" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    assert "falsified" in (run / "report.html").read_text()


def test_a_failed_attempt_keeps_the_certificate_of_an_earlier_proof(run: Path, capsys: Capture) -> None:
    proof, record = certificate(run).read_bytes(), (run / "certificates" / "stability.json").read_bytes()
    assert main(["certify", str(run), "--level", "1e3"]) == 1
    assert "kept" in capsys.readouterr().out
    assert certificate(run).read_bytes() == proof
    assert (run / "certificates" / "stability.json").read_bytes() == record


def test_no_time_is_undecided(run: Path) -> None:
    assert main(["certify", str(run), "--seconds", "1e-9"]) == 3


def test_against_its_own_run(run: Path, capsys: Capture) -> None:
    assert main(["check", str(certificate(run)), "--against", str(run)]) == 0
    assert "are those of the run" in capsys.readouterr().out


def test_against_another_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shorten(monkeypatch)
    other = tmp_path / "other"
    assert main(["train", "pendulum", "--seed", "1", "--out", str(other)]) == 0
    capsys.readouterr()
    assert main(["check", str(certificate(run)), "--against", str(other), "--json"]) == 1
    compared = lines_of(capsys)[-1]
    assert compared["event"] == "compared" and any("graph" in line for line in compared["differences"])


def test_another_true_statement_is_told_by_against(run: Path, capsys: Capture) -> None:
    """A lower level with every hash made anew is true, but it is not what was proved for this run."""
    path = certificate(run)
    document = json.loads(path.read_bytes().split(b"\n", 1)[1])
    document["statement"]["level"] = (float.fromhex(document["statement"]["level"]) * (1 - 1e-9)).hex()
    body = json.dumps(document).encode()
    path.write_bytes(f"ctrlnet-certificate 1 {hashlib.sha256(body).hexdigest()}\n".encode() + body)
    assert main(["check", str(path)]) == 0
    capsys.readouterr()
    assert main(["check", str(path), "--against", str(run)]) == 1
    shown = capsys.readouterr().out
    assert "'level'" in shown and shown.startswith(f"CONFIRMED, BUT NOT ABOUT {run}")


@pytest.mark.parametrize("place", [0, 5, 30, 200, -1])
def test_any_byte_changed_is_told(run: Path, place: int, capsys: Capture) -> None:
    data = bytearray(certificate(run).read_bytes())
    data[place] ^= 1
    certificate(run).write_bytes(bytes(data))
    assert main(["check", str(certificate(run))]) != 0
    assert "Traceback" not in capsys.readouterr().err


def test_report_and_validation_refuse_a_changed_certificate(run: Path, capsys: Capture) -> None:
    data = bytearray(certificate(run).read_bytes())
    data[-20] ^= 1
    certificate(run).write_bytes(bytes(data))
    for verb in ("report", "validate"):
        assert main([verb, str(run)]) == 2
        assert "truncated or edited" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["run.toml", "policy.safetensors", "candidates/V.safetensors", "metrics.csv"])
@pytest.mark.parametrize("verb", ["certify", "validate", "report"])
def test_a_damaged_run_is_refused_and_left_alone(run: Path, name: str, verb: str, capsys: Capture) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:-7])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([verb, str(run)]) == 2
    assert name in capsys.readouterr().err.replace("\n", " ")
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_truncated_record_is_named(run: Path, capsys: Capture) -> None:
    path = run / "certificates" / "stability.json"
    path.write_bytes(path.read_bytes()[:50])
    assert main(["report", str(run)]) == 2
    assert "stability.json" in capsys.readouterr().err


def test_a_second_run_into_a_folder_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shorten(monkeypatch)
    before = (run / "policy.safetensors").read_bytes()
    for verb in ("train", "run"):
        assert main([verb, "pendulum", "--seed", "5", "--out", str(run)]) == 2
        assert "--overwrite" in capsys.readouterr().err
    assert (run / "policy.safetensors").read_bytes() == before
    assert main(["train", "pendulum", "--seed", "5", "--out", str(run), "--overwrite"]) == 0
    assert (run / "policy.safetensors").read_bytes() != before


def test_validate_then_report(run: Path, capsys: Capture) -> None:
    assert main(["validate", str(run), "--count", "40", "--no-video", "--json"]) == 0
    validated = lines_of(capsys)[-1]
    assert validated["event"] == "validated" and validated["converged"] == 40 and validated["passed"] is True
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "40\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}40" in page and "libegl1" in page
    assert capsys.readouterr().out.strip() == str(run / "report.html")


def test_without_opengl_all_but_the_film_works(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    import ctrlnet.validation
    from ctrlnet.errors import RenderingUnavailable

    def dark(*_: object, **__: object) -> None:
        raise RenderingUnavailable("apt-get install libegl1")

    monkeypatch.setattr(ctrlnet.validation, "film", dark)
    assert main(["validate", str(run), "--count", "5"]) == 0
    assert "apt-get install libegl1" in capsys.readouterr().out
    assert not (run / "video.mp4").exists()


def test_run_drives_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr("ctrlnet.cli.run.ValidateSettings", lambda folder: ValidateSettings(folder, 30, video=False))
    assert main(["run", "pendulum", "--out", str(tmp_path / "here")]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "certified, checked, validated"
    assert str(tmp_path / "here" / "report.html") in shown
    assert all(len(line) <= 160 for line in shown.splitlines())


def test_run_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr("ctrlnet.cli.run.ValidateSettings", lambda folder: ValidateSettings(folder, 10, video=False))
    assert main(["run", "pendulum", "--out", str(tmp_path / "here"), "--json"]) == 0
    events = [line["event"] for line in lines_of(capsys) if line["event"] != "progress"]
    assert events == ["trained", "verdict", "checked", "validated", "reported", "done"]


def test_ctrl_c_in_the_search_keeps_the_policy(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    import ctrlnet.prover

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ctrlnet.prover, "certify", stopped)
    before = certificate(run).read_bytes()
    assert main(["certify", str(run)]) == 130
    assert "policy.safetensors" in capsys.readouterr().err
    assert certificate(run).read_bytes() == before


def test_defaults_of_validate_are_those_of_the_library() -> None:
    from ctrlnet.validation import ValidationOptions

    options, settings = ValidationOptions(), ValidateSettings(Path())
    for name in ("count", "rate_hz", "seed"):
        assert getattr(options, name) == getattr(settings, name)


def test_moved_runs_still_work(run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.move(run, tmp_path / "elsewhere"))
    assert main(["report", str(moved)]) == 0


@dataclass(frozen=True)
class Cart(ctrlnet.Environment):
    """x' = x + u, defined here and in no distribution."""

    name: ClassVar[str] = "cart"

    @cached_property
    def system(self) -> ctrlnet.System:
        return ctrlnet.System(
            lambda x: x,
            lambda x: torch.ones_like(x).unsqueeze(-1),
            state=(ctrlnet.Quantity("x", "m"),),
            control=(ctrlnet.Quantity("u", "m/s"),),
        )

    @property
    def box(self) -> ctrlnet.Box:
        return ctrlnet.Box((-1.0,), (1.0,))

    def policy(self, seed: int = 0) -> torch.nn.Module:
        return ctrlnet.Feedback(ctrlnet.mlp((1, 4, 1), seed=seed), None, at=(0.0,), control_at=(0.0,))

    def candidates(self, seed: int = 0) -> dict[str, torch.nn.Module]:
        return {"V": ctrlnet.Quadratic(1)}

    def conditions(self, candidates: Mapping[str, torch.nn.Module]) -> dict[str, ctrlnet.ExponentialStability]:
        return {"stability": ctrlnet.ExponentialStability(candidates["V"], rate=0.1)}

    @property
    def recipe(self) -> ctrlnet.Recipe:
        return ctrlnet.Recipe(steps=5, imitation_steps=50)


def test_a_run_of_objects_that_cannot_be_imported_is_reported_not_certified(tmp_path: Path, capsys: Capture) -> None:
    @dataclass(frozen=True)
    class Local(Cart):
        """Defined in a function, where no import finds it."""

    run = tmp_path / "cart"
    ctrlnet.train(Local(), out=run)
    assert main(["report", str(run)]) == 0
    assert "cannot be imported again" in (run / "report.html").read_text()
    capsys.readouterr()
    assert main(["certify", str(run)]) == 2
    assert "cannot be imported again" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["6.0", "0.75"])
def test_the_whole_way(limit: str, tmp_path: Path, capsys: Capture) -> None:
    """`ctrlnet run pendulum` at both torque limits, as a newcomer types it."""
    run = tmp_path / "pendulum"
    assert main(["run", "pendulum", "--env.torque-limit", limit, "--out", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "certified, checked, validated"
    record = json.loads((run / "certificates" / "stability.json").read_bytes())
    assert record["level"] >= 0.97 * record["sampled_level"]
    assert record["region"]["volume"] >= 60
    validation = json.loads((run / "validation.json").read_bytes())
    assert validation["converged"] == validation["count"] == 1000
