"""The built wheel, installed elsewhere, is the whole of ctrlnet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: object, cwd: Path, path: Path | None = None) -> str:
    """A Python process outside the repository; with `path` it sees that folder before anything else installed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    return next(folder.glob("ctrlnet-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("target")
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target")
    run(*pip, target, wheel, cwd=target)
    return target


def test_every_file_of_the_three_packages_ships(wheel):
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for parent, package in ((ROOT, "ctrlnet"), (ROOT / "plugins", "ctrlnet_plugins"), (ROOT / "envs", "ctrlnet_envs")):
        paths = [path for path in (parent / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        missing = {path.relative_to(parent).as_posix() for path in paths} - shipped
        assert not missing
    assert {name.split("/")[0] for name in shipped if ".dist-info" not in name} == {
        "ctrlnet",
        "ctrlnet_plugins",
        "ctrlnet_envs",
    }


def test_it_works_from_elsewhere(installed, tmp_path):
    script = f"""
import ctrlnet, ctrlnet.plugins
assert ctrlnet.__file__.startswith({str(installed)!r}), ctrlnet.__file__
for kind in ("integrators", "optimizers", "environments"):
    for name in ctrlnet.names(kind):
        ctrlnet.load(kind, name)
print(ctrlnet.names("environments"), ctrlnet.make("pendulum"))
"""
    assert "pendulum" in run("-c", script, cwd=tmp_path, path=installed)


def test_the_program_works_from_elsewhere(installed, tmp_path):
    assert "ctrlnet_envs.pendulum" in run("-m", "ctrlnet.cli", "plugins", "list", cwd=tmp_path, path=installed)


def test_the_readmes_example_runs_from_elsewhere(installed, tmp_path):
    """Outside the repository, on the installed package alone."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script, printed = re.search(
        r"^```python\n(.*?)^```\n\n.*?^```\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE
    ).groups()
    assert run("-c", script, cwd=tmp_path, path=installed) == printed
