"""Ranges, pins and the Makefile say the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS = {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    listed = (*PROJECT["dependencies"], *extras["dev"], *extras["exact"], *extras["study"])
    return [Requirement(text) for text in listed]


def test_pins_are_within_the_ranges():
    for requirement in declared():
        if requirement.name != "ctrlnet":
            assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_every_transitive_requirement_is_pinned():
    """Of what is installed here; CUDA packages are torch's own exact pins."""
    missing, seen = set(), set()
    waiting = [requirement for requirement in declared() if requirement.name != "ctrlnet"]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extras := frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, extras))
        missing |= {name} - set(PINS)
        waiting += [found for found in _requirements(name) if _applies(found, extras)]
    assert {name for name in missing if not name.startswith(("nvidia-", "triton", "cuda-"))} == set()


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return []


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})


def test_the_makefile_locks_what_was_decided():
    decided = re.search(r"^DECIDED := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert decided is not None and set(decided[1].split()) <= set(LINES)
    assert {"torch==2.13.0", "mujoco==3.17.0"} <= set(LINES)


def test_the_wrong_mujoco_cannot_be_installed():
    (mujoco,) = (requirement for requirement in declared() if requirement.name == "mujoco")
    assert "4.0.0" not in mujoco.specifier and "4.0.1" in mujoco.specifier


@pytest.mark.parametrize(
    ("interpreter", "message"), [("no-such-python", "There is no 'no-such-python'"), ("./old", "'./old' is 3.9")]
)
def test_make_says_what_python_it_needs(interpreter, message, tmp_path):
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\nshift; echo "$1" | sed "s/sys.version_info/(3, 9)/" | exec python3 -\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-f", ROOT / "Makefile", "python", f"PYTHON={interpreter}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message.replace("'./old'", "./old") in done.stdout + done.stderr
    assert "3.11 or newer" in done.stdout + done.stderr
