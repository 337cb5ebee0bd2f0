"""The small distribution that `ctrlnet plugins new` writes."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template

from ctrlnet import plugins
from ctrlnet.errors import UsageError

__all__ = ["scaffold"]


def scaffold(name: str, kind: str, parent: str | Path) -> Path:
    """Write a distribution that offers one plug-in and passes its conformance kit; returns its folder.

    The folder is written aside and then renamed, so that it is there whole or not at all.

    Args:
        name: the plug-in's name, lower snake case.
        kind: "integrator", "optimizer" or "environment".
        parent: folder to write into; the distribution's folder is named ctrlnet-NAME.

    Raises:
        UsageError: the name cannot be one or is taken, or the folder exists.
    """
    _require_free(name, f"{kind}s")
    parent = Path(parent)
    folder = parent / f"ctrlnet-{name.replace('_', '-')}"
    if folder.exists():
        raise UsageError(f"{folder} exists already and was left as it is. Choose another name or --path.")
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
    try:
        for path, text in _texts(name, kind).items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_text(text, encoding="utf-8")
        aside.chmod(0o755)  # mkdtemp makes it private
        os.rename(aside, folder)  # noqa: PTH104  (fails where the folder has appeared meanwhile)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def _require_free(name: str, kind: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot be the name of a plug-in: use lower_snake_case, such as 'ralston'.")
    if name in plugins.names(kind):
        taken = " and ".join(plugin.source for plugin in plugins.describe(kind) if plugin.name == name)
        raise UsageError(f"The {kind[:-1]} '{name}' is installed already, from {taken}. Choose another name.")


def _texts(name: str, kind: str) -> dict[str, str]:
    """The text of every file, by its path in the distribution."""
    words = {
        "name": name,
        "kind": kind,
        "package": f"ctrlnet_{name}",
        "distribution": f"ctrlnet-{name.replace('_', '-')}",
        "class_name": "".join(part.capitalize() for part in name.split("_")),
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"ctrlnet_{name}/__init__.py": "init.py",
        f"ctrlnet_{name}/{name}.py": f"{kind}.py",
        f"tests/test_{name}.py": "test.py",
    }
    folder = files("ctrlnet.cli") / "templates"
    return {
        path: Template((folder / f"{template}.template").read_text(encoding="utf-8")).substitute(words)
        for path, template in templates.items()
    }
