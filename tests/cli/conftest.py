"""One small certified run for every test of the verbs: the pendulum, hardly trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ctrlnet
from ctrlnet.cli import main


@pytest.fixture(scope="session")
def hardly_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twenty steps, certified."""
    folder = tmp_path_factory.mktemp("runs") / "pendulum"
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        assert main(["train", "pendulum", "--out", str(folder)]) == 0
    assert main(["certify", str(folder)]) == 0
    return folder


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Make the pendulum's recipe a matter of seconds."""
    author = ctrlnet.load("environments", "pendulum")
    patch.setattr(author, "recipe", ctrlnet.Recipe(steps=20, imitation_steps=200, state_cost=(1.0, 0.1)))


@pytest.fixture
def run(hardly_trained: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of that run, to be maltreated."""
    yield Path(shutil.copytree(hardly_trained, tmp_path / "pendulum"))
