"""Checkpoints hold states bit for bit, and whatever is not whole is noticed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from ctrlnet.errors import RunDamaged, RunFormat, UsageError
from ctrlnet.training import Checkpoints, newest_whole, packed, unpacked

STATE = {
    "numbers": {
        "int": 2**70,
        "float": 0.1,
        "tiny": 5e-324,
        "nan": float("nan"),
        "none": None,
        "yes": True,
        "text": "ä\n",
    },
    "nested": [(1, [2.0, (3,)]), {}, (), []],
    0: {1: {"exp_avg": torch.randn(3, 2), "step": torch.tensor(7.0)}},
    "kinds": [
        torch.arange(4, dtype=torch.uint8),
        torch.tensor([True, False]),
        torch.randn(3).to(torch.bfloat16),
        torch.tensor([float("nan"), float("inf"), -0.0], dtype=torch.float64),
        torch.arange(6).reshape(2, 3).T,
        torch.empty(0, 2),
        torch.tensor(3, dtype=torch.int16),
    ],
}


def same(one: object, other: object) -> bool:
    """Equal in kind, precision and every bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        bits = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def test_what_goes_in_comes_out() -> None:
    assert same(unpacked(packed(STATE), "here"), STATE)


def test_tensors_that_share_memory_are_kept_apart() -> None:
    x = torch.arange(4.0)
    found = unpacked(packed({"a": x, "b": x[:2], "c": x}), "here")
    assert same(found, {"a": x, "b": x[:2], "c": x})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}, torch.nn.Linear(1, 1)])
def test_what_it_cannot_hold_is_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match=r"state\.optimizer\.odd"):
        packed({"optimizer": {"odd": value}})


def test_every_truncation_and_change_is_noticed() -> None:
    whole = packed({"weights": torch.arange(3.0), "step": 4})
    for i in range(len(whole)):
        for broken in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            with pytest.raises((RunDamaged, RunFormat)):
                unpacked(broken, "here")


def test_another_format_is_told() -> None:
    with pytest.raises(RunFormat, match="format 2"):
        unpacked(packed({}).replace(b"ctrlnet-checkpoint 1 ", b"ctrlnet-checkpoint 2 "), "here")


def test_a_pickle_is_never_opened() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("unpickled",))

    with pytest.raises(RunDamaged):
        unpacked(pickle.dumps(Trap()), "here")


def folder_with(tmp_path: Path, steps: list[int]) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path / "checkpoints", every_seconds=0, every_steps=2, keep=2)
    for step in steps:
        checkpoints.save(step, {"step": step})
    return checkpoints


def step_of(folder: Path) -> object:
    return unpacked(newest_whole(folder), "here")["step"]


def test_the_newest_two_stay(tmp_path: Path) -> None:
    checkpoints = folder_with(tmp_path, [2, 4, 998, 1000])
    assert [path.name for path in sorted(checkpoints.folder.iterdir())] == [
        "step-000000998.checkpoint",
        "step-000001000.checkpoint",
    ]
    assert checkpoints.newest is not None and "1000" in checkpoints.newest.name
    assert step_of(checkpoints.folder) == 1000
    assert [step for step in range(1, 7) if checkpoints.due(step)] == [2, 4, 6]


@pytest.mark.parametrize("break_", [lambda data: data[:-1], lambda data: b"", lambda data: data[:80], None])
def test_a_damaged_or_missing_newest_falls_back_to_the_one_before(
    tmp_path: Path, break_, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = folder_with(tmp_path, [2, 4])
    newest = checkpoints.newest
    assert newest is not None
    newest.unlink() if break_ is None else newest.write_bytes(break_(newest.read_bytes()))
    assert step_of(checkpoints.folder) == 2
    assert ("truncated or edited" in caplog.text) is (break_ is not None)
    checkpoints.save(3, {"step": 3})
    assert step_of(checkpoints.folder) == 3


def test_none_that_is_whole_is_no_checkpoint(tmp_path: Path) -> None:
    assert newest_whole(tmp_path / "nowhere") == b""
    checkpoints = folder_with(tmp_path, [2])
    assert checkpoints.newest is not None
    checkpoints.newest.write_bytes(b"")
    assert newest_whole(checkpoints.folder) == b""


def test_what_is_left_is_told_of_each_damaged_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = folder_with(tmp_path, [2, 4])
    for path in checkpoints.folder.iterdir():
        path.write_bytes(b"")
    assert newest_whole(checkpoints.folder) == b""
    newest, oldest = caplog.messages
    assert "step-000000004" in newest and newest.endswith("The checkpoint before it is tried.")
    assert "step-000000002" in oldest and oldest.endswith("No other checkpoint is left.")


def test_one_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    checkpoints = folder_with(tmp_path, [2, 4])
    assert checkpoints.newest is not None
    data = checkpoints.newest.read_bytes().replace(b"ctrlnet-checkpoint 1 ", b"ctrlnet-checkpoint 9 ")
    checkpoints.newest.write_bytes(data)
    with pytest.raises(RunFormat, match="format 9"):
        newest_whole(checkpoints.folder)
    assert checkpoints.newest.read_bytes() == data


def test_a_failure_while_writing_keeps_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = folder_with(tmp_path, [2, 4])
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(6, {"step": 6})
    assert [path.stem[-1] for path in sorted(checkpoints.folder.iterdir())] == ["2", "4"]
    assert step_of(checkpoints.folder) == 4
