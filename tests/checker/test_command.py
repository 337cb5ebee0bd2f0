"""python -m ctrlnet.checker, where torch and everything else but numpy do not exist."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import certificates as c
import numpy
import pytest

import ctrlnet
from ctrlnet.checker.verification import STATEMENTS

BLOCKED = """
import importlib.abc, sys
ALLOWED = {"numpy", "ctrlnet", *sys.stdlib_module_names}
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        outside = name.partition(".")[0] not in ALLOWED
        if outside or (name.startswith("ctrlnet.") and not name.startswith("ctrlnet.checker")):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
for name in list(sys.modules):
    if name.partition(".")[0] not in ALLOWED: del sys.modules[name]
sys.meta_path.insert(0, Blocker())
"""


def run(*arguments: str, prelude: str = BLOCKED) -> subprocess.CompletedProcess[str]:
    start = "runpy.run_module('ctrlnet.checker', run_name='__main__', alter_sys=True)"
    code = f"{prelude}\nimport runpy, sys\nsys.argv = {['checker', *arguments]!r}\n{start}"
    place = str(Path(ctrlnet.__file__).parents[1])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "PYTHONPATH": place})  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        (lambda d: None, 0, "CONFIRMED"),
        (lambda d: d["statement"].update(rate="4"), 1, "REJECTED"),
        (lambda d: d.pop("proof"), 2, "UNREADABLE"),
        (lambda d: d.update(c.touching()), 3, "UNDECIDED"),
    ],
)
def test_exit_status_and_words_without_torch(change: object, status: int, word: str, tmp_path: Path) -> None:
    path = tmp_path / "it.cert"
    path.write_bytes(c.changed(c.spiral(), change))  # type: ignore[arg-type]
    done = run(str(path))
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout.startswith(word) and "Traceback" not in done.stderr
    if status == 0:
        for part in ("Theorem.", "For every state x(0)", "Assumptions.", "leaves", "SHA-256", "made by"):
            assert part in done.stdout


def test_missing_files_and_bad_usage(tmp_path: Path) -> None:
    assert run(str(tmp_path / "none")).returncode == 2
    assert run().returncode == 2


def test_exact_mode_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "it.cert"
    path.write_bytes(c.sealed(c.spiral()))
    done = run(str(path), "--exact")
    assert done.returncode == 2 and "python-flint" in done.stderr and "Traceback" not in done.stderr
    assert run(str(path), "--exact", prelude="").returncode == 0


def test_the_checker_imports_only_numpy_and_itself() -> None:
    place = Path(ctrlnet.__file__).parent / "checker"
    allowed = {"numpy", *sys.stdlib_module_names}
    for file in place.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names if file.name != "balls.py" else []:
                top = name.split(".")
                assert top[0] in allowed or top[:2] == ["ctrlnet", "checker"], f"{file}: {name}"


def test_statement_kinds_stay_short() -> None:
    place = Path(ctrlnet.__file__).parent / "checker"
    for name in STATEMENTS:
        assert len((place / f"{name}.py").read_text().splitlines()) <= 80, name


def test_in_an_environment_that_holds_numpy_alone(tmp_path: Path) -> None:
    """No site-packages at all: the standard library, numpy and ctrlnet; torch is not there to be imported."""
    site = tmp_path / "site"
    site.mkdir()
    installed = Path(numpy.__file__).parents[1]
    for part in [*installed.glob("numpy*"), Path(ctrlnet.__file__).parent]:
        (site / part.name).symlink_to(part)
    alone = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"]}
    golden = Path(__file__).parents[1] / "golden" / "stability-1.cert"
    for code, status in (("import torch", 1), ("import flint", 1), ("import numpy, ctrlnet.checker", 0)):
        done = subprocess.run([sys.executable, "-S", "-s", "-c", code], env=alone, capture_output=True, check=False)
        assert done.returncode == status, (code, done.stderr)
    command = [sys.executable, "-S", "-s", "-m", "ctrlnet.checker", str(golden)]
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("CONFIRMED"), done.stderr
