"""A run keeps weights exactly and notices what was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctrlnet import Run, RunDamaged, mlp
from ctrlnet.runs import write_run

WRITTEN = ["policy.safetensors", "metrics.csv", "candidates/V.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policy, V = mlp((2, 3, 1), seed=0), mlp((2, 3, 1), seed=1)
    write_run(
        tmp_path,
        {"task": {"name": "toy", "parameters": {"gain": 2.0}}},
        policy=policy.state_dict(),
        candidates={"V": V.state_dict()},
        metrics=b"step,loss\n1,0.5\n",
    )
    return tmp_path


def test_says_what_it_is(folder: Path) -> None:
    run = Run(folder)
    assert (run.name, run.parameters, run.candidate_names) == ("toy", {"gain": 2.0}, ["V"])
    assert sorted(run.hashes) == sorted(WRITTEN)
    assert run.origin == {}


def test_weights_come_back_bit_for_bit(folder: Path) -> None:
    for weights, seed in ((Run(folder).policy_weights(), 0), (Run(str(folder)).candidate_weights("V"), 1)):
        wanted = mlp((2, 3, 1), seed=seed).state_dict()
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) and weights[name].dtype == torch.float64 for name in wanted)


@pytest.mark.parametrize("name", WRITTEN)
def test_an_edited_truncated_or_missing_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for broken in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"\n"):
        path.write_bytes(broken)
        with pytest.raises(RunDamaged, match=path.name):
            Run(folder)
    path.unlink()
    with pytest.raises(RunDamaged, match=path.name):
        Run(folder)


def test_an_unknown_candidate_is_named(folder: Path) -> None:
    with pytest.raises(RunDamaged, match=r"candidates/W\.safetensors"):
        Run(folder).candidate_weights("W")


def test_certificates_are_those_that_are_there(folder: Path) -> None:
    assert Run(folder).certificate_paths == {}
    (folder / "certificates").mkdir()
    (folder / "certificates" / "stability.cert").write_bytes(b"")
    (folder / "certificates" / "stability.json").write_bytes(b"")
    assert list(Run(folder).certificate_paths) == ["stability"]
