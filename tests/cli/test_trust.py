"""What report and validate believe: the certificate, confirmed now, of this run; nothing that was edited."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import shorten

from ctrlnet.cli import main
from ctrlnet.reports.records import Record
from ctrlnet.validation.sealing import sealed

Capture = pytest.CaptureFixture[str]
Content = dict[str, object]


def certificate(run: Path) -> Path:
    return run / "certificates" / "stability.cert"


def record_of(run: Path) -> Path:
    return run / "certificates" / "stability.json"


def error_of(capsys: Capture) -> str:
    return " ".join(capsys.readouterr().err.split())


def rewrite(run: Path, edit: Callable[[dict], None], resealed: bool = True) -> None:
    """Edit the certificate, make its hash anew, and name that hash in the record."""
    document = json.loads(certificate(run).read_bytes().split(b"\n", 1)[1])
    edit(document)
    body = json.dumps(document).encode()
    digest = hashlib.sha256(body).hexdigest()
    certificate(run).write_bytes(f"ctrlnet-certificate 1 {digest}\n".encode() + body)
    if resealed:
        known = Record.read(record_of(run))
        record_of(run).write_bytes(dataclasses.replace(known, certificate=digest).as_json())


@pytest.fixture
def validated(run: Path) -> Path:
    assert main(["validate", str(run), "--count", "5", "--no-video"]) == 0
    return run


def page_of(run: Path) -> str:
    assert main(["report", str(run)]) == 0
    return (run / "report.html").read_text()


@pytest.mark.parametrize("verb", ["report", "validate"])
@pytest.mark.parametrize("change", [{"level": 99.0}, {"rate": 3.0}, {"status": "undecided"}, {"certificate": "0" * 64}])
@pytest.mark.parametrize("seal", [True, False])
def test_an_edited_record_is_damage(run: Path, verb: str, change: Content, seal: bool, capsys: Capture) -> None:
    document = {**json.loads(record_of(run).read_bytes()), **change}
    del document["digest"]
    record_of(run).write_text(json.dumps(sealed(document) if seal else document))
    assert main([verb, str(run)]) == 2
    shown = error_of(capsys)
    assert "stability.json" in shown and "ctrlnet certify" in shown
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("verb", ["report", "validate"])
def test_a_missing_record_or_certificate_is_named(run: Path, verb: str, capsys: Capture) -> None:
    kept = record_of(run).read_bytes()
    record_of(run).unlink()
    assert main([verb, str(run)]) == 2
    assert "stability.json is missing" in error_of(capsys)
    record_of(run).write_bytes(kept)
    certificate(run).unlink()
    assert main([verb, str(run)]) == 2
    assert "stability.cert is missing" in error_of(capsys)


@pytest.mark.parametrize("same_weights_named", [True, False])
def test_the_certificate_of_another_run_is_refused(
    run: Path, tmp_path: Path, same_weights_named: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shorten(monkeypatch)
    other = tmp_path / "other"
    assert main(["train", "pendulum", "--seed", "1", "--out", str(other)]) == 0
    (other / "certificates").mkdir(exist_ok=True)
    for path in (certificate, record_of):
        path(other).write_bytes(path(run).read_bytes())
    if same_weights_named:
        from ctrlnet.runs import Run

        hashes = Run(other).hashes
        rewrite(other, lambda document: document["provenance"].update(files=hashes))
    for verb in ("report", "validate"):
        assert main([verb, str(other)]) == 2
        shown = error_of(capsys)
        assert "is not about this run" in shown and ("graph" if same_weights_named else "policy.safetensors") in shown


def test_what_the_checker_rejects_is_not_called_certified(run: Path, capsys: Capture) -> None:
    rewrite(run, lambda document: document["proof"].update(interior="p"))
    page = page_of(run)
    assert "does not confirm" in page and ">certified<" not in page and ">checked<" not in page
    assert main(["validate", str(run)]) == 2
    assert "does not confirm" in error_of(capsys)


def test_theorem_and_assumptions_are_the_checkers(run: Path) -> None:
    known = Record.read(record_of(run))
    record_of(run).write_bytes(
        dataclasses.replace(
            known, statement="All is well.", assumptions=("none",), kind="Magic", checked=None
        ).as_json()
    )
    page = page_of(run)
    assert "All is well" not in page and "IEEE 754" in page and ">checked<" in page


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data.replace(b'"converged":5', b'"converged":9'),
        lambda data: data.replace(b'"seed":0', b'"seed":1'),
        lambda data: b"[]",
    ],
)
def test_an_edited_or_empty_validation_is_not_shown(validated: Path, edit: Callable[[bytes], bytes]) -> None:
    path = validated / "validation.json"
    assert edit(path.read_bytes()) != path.read_bytes()
    path.write_bytes(edit(path.read_bytes()))
    page = page_of(validated)
    assert "validation.json is damaged" in page and ">validated<" not in page


def test_a_validation_of_another_certificate_is_not_shown(validated: Path) -> None:
    assert ">validated<" in page_of(validated)
    level = Record.read(record_of(validated)).level
    assert level is not None
    assert main(["certify", str(validated), "--level", str(level / 2)]) == 0
    page = page_of(validated)
    assert "about another certificate" in page and ">validated<" not in page


def test_a_film_is_shown_only_as_it_was_made(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctrlnet.validation

    monkeypatch.setattr(ctrlnet.validation, "film", lambda environment, policy, seen, path: path.write_bytes(b"film"))
    assert main(["validate", str(run), "--count", "5"]) == 0
    assert "data:video/mp4" in page_of(run)
    for data in (b"other", b""):
        (run / "video.mp4").write_bytes(data)
        page = page_of(run)
        assert "The film is damaged: do ctrlnet validate" in page and "data:video/mp4" not in page
    (run / "video.mp4").unlink()
    assert "The film is missing" in page_of(run)
    assert main(["validate", str(run), "--count", "5", "--no-video"]) == 0
    (run / "video.mp4").write_bytes(b"film")
    assert "not of this validation" in page_of(run)


def test_one_digest_for_a_certificate(run: Path, capsys: Capture) -> None:
    digest = certificate(run).read_bytes().split(b"\n", 1)[0].split()[-1].decode()
    whole = hashlib.sha256(certificate(run).read_bytes()).hexdigest()
    page = page_of(run)
    assert digest in page and whole not in page
    assert json.loads(record_of(run).read_bytes())["certificate"] == digest
    capsys.readouterr()
    assert main(["check", str(certificate(run))]) == 0
    assert digest in capsys.readouterr().out


def test_check_against_says_first_what_it_found(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(certificate(run)), "--against", str(tmp_path / "nowhere")]) == 2
    shown = capsys.readouterr()
    assert "nowhere" in shown.err and shown.out == ""
    assert main(["check", str(certificate(run)), "--against", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"CONFIRMED, AND ABOUT {run}")


def test_where_nothing_can_be_traced_the_hashes_of_the_weights_decide(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctrlnet.tasks
    from ctrlnet.errors import UsageError

    def gone(*_: object) -> None:
        raise UsageError("its plug-in is not installed")

    monkeypatch.setattr(ctrlnet.tasks, "rebuild", gone)
    assert "its graphs were not compared" in page_of(run)
    rewrite(run, lambda document: document["provenance"].pop("files"))
    assert main(["report", str(run)]) == 2


def test_a_certificate_of_another_kind_is_told(run: Path, tmp_path: Path, capsys: Capture) -> None:
    import torch

    import ctrlnet

    verdict = ctrlnet.prove(lambda x: torch.square(x).sum(-1) + 1.0, ctrlnet.Box((-1.0, -1.0), (1.0, 1.0)))
    path = verdict.save(tmp_path / "stability.cert")
    assert main(["check", str(path), "--against", str(run)]) == 1
    assert "the file has the fields" in capsys.readouterr().out
    certificate(run).write_bytes(path.read_bytes())
    for verb in ("report", "validate"):
        assert main([verb, str(run)]) == 2
        assert "stability.json" in error_of(capsys)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"statement": {}}'])
def test_nonsense_with_a_good_hash_is_damage(run: Path, body: bytes, capsys: Capture) -> None:
    certificate(run).write_bytes(f"ctrlnet-certificate 1 {hashlib.sha256(body).hexdigest()}\n".encode() + body)
    for verb in ("report", "validate"):
        assert main([verb, str(run)]) == 2
        assert "no certificate" in error_of(capsys)
