"""A run folder appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctrlnet.errors import RunDamaged, RunExists
from ctrlnet.runs import Run, staged
from ctrlnet.runs.document import NAME


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def run_at(path: Path, text: str = "old") -> Path:
    path.mkdir()
    (path / NAME).write_text(text)
    return path


def test_appears_when_the_block_ends(tmp_path: Path) -> None:
    with staged(tmp_path / "a" / "run") as folder:
        (folder / NAME).write_text("new")
        assert not (tmp_path / "a" / "run").exists()
    assert names(tmp_path / "a") == ["run"]
    assert (tmp_path / "a" / "run" / NAME).read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_nothing_and_the_old_run(tmp_path: Path, failure: type[BaseException]) -> None:
    old = run_at(tmp_path / "run")
    for target in (old, tmp_path / "other"):
        with pytest.raises(failure), staged(target, overwrite=True) as folder:
            (folder / NAME).write_text("half")
            raise failure
    assert names(tmp_path) == ["run"]
    assert (old / NAME).read_text() == "old"


def test_a_second_run_is_refused_before_any_work(tmp_path: Path) -> None:
    run_at(tmp_path / "run")
    with pytest.raises(RunExists, match="overwrite=True, or --overwrite"), staged(tmp_path / "run"):
        pytest.fail("the block was entered")


def test_overwrite_replaces_the_whole_folder(tmp_path: Path) -> None:
    old = run_at(tmp_path / "run")
    (old / "report.html").write_text("stale")
    with staged(old, overwrite=True) as folder:
        (folder / NAME).write_text("new")
    assert names(tmp_path) == ["run"]
    assert names(old) == [NAME]


def test_what_is_no_run_is_never_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("")
    for target in (precious, precious / "chapter1.tex"):
        with pytest.raises(RunExists, match="no run"), staged(target, overwrite=True):
            pytest.fail("the block was entered")
    assert names(precious) == ["chapter1.tex"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with staged(tmp_path / "run") as folder:
        (folder / NAME).write_text("new")
    assert names(tmp_path / "run") == [NAME]


def test_a_run_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RunExists), staged(tmp_path / "run") as folder:
        (folder / NAME).write_text("mine")
        run_at(tmp_path / "run", "theirs")
    assert (tmp_path / "run" / NAME).read_text() == "theirs"


def test_a_failed_swap_puts_the_old_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = run_at(tmp_path / "run")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged(old, overwrite=True) as folder:
        (folder / NAME).write_text("new")
    assert names(tmp_path) == ["run"]
    assert (old / NAME).read_text() == "old"


def test_permissions_follow_the_users_mask(tmp_path: Path) -> None:
    parent = tmp_path / "open"
    parent.mkdir()
    parent.chmod(0o777)
    mask = os.umask(0o027)
    try:
        with staged(parent / "run") as folder:
            (folder / NAME).write_text("format = 1\n")
    finally:
        os.umask(mask)
    assert (parent / "run").stat().st_mode & 0o777 == 0o750


def test_an_interrupted_training_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt), staged(tmp_path / "run", resume=resume) as folder:
            (folder / "checkpoints").mkdir(exist_ok=True)
            (folder / "checkpoints" / "step-1.checkpoint").write_text("state")
            raise KeyboardInterrupt
    assert names(tmp_path) == ["run.partial"]
    assert names(tmp_path / "run.partial") == ["checkpoints", "unfinished.toml"]
    with pytest.raises(RunExists, match="--resume"), staged(tmp_path / "run"):
        pytest.fail("the block was entered")
    with staged(tmp_path / "run", overwrite=True) as folder:
        assert names(folder) == ["unfinished.toml"]
        (folder / NAME).write_text("new")
    assert names(tmp_path / "run") == [NAME]


def test_a_folder_without_a_name_is_told_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunDamaged, match="no run"):
        Run(".")
