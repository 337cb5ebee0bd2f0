"""The public surface: what is promised can be imported, is documented, and keeps its name."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ctrlnet

SOURCE = Path(ctrlnet.__file__)


def test_there_is_no_module_with_the_name_of_a_public_one():
    modules = {module.name for module in pkgutil.iter_modules(ctrlnet.__path__)}
    assert not modules & set(ctrlnet.__all__)


def test_type_checkers_see_the_same_names():
    """The imports under TYPE_CHECKING repeat the table of rooms."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [
        (node.module, alias.name) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert sorted(seen) == sorted((room, name) for room, names in ctrlnet._ROOMS.items() for name in names)


@pytest.fixture(scope="module")
def surface() -> dict[str, str]:
    """For each public name what it is once every submodule has been imported, in a process of its own."""
    script = """
import importlib, inspect, json, pkgutil, ctrlnet
for module in pkgutil.walk_packages(ctrlnet.__path__, "ctrlnet."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
kinds = {}
for name in ctrlnet.__all__:
    thing = getattr(ctrlnet, name)
    kinds[name] = "module" if inspect.ismodule(thing) else "undocumented" if not thing.__doc__ else (
        "callable" if callable(thing) else type(thing).__name__)
print(json.dumps(kinds))
"""
    import json

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ctrlnet.__all__)
def test_each_is_callable_after_importing_every_submodule(surface, name):
    assert surface[name] == "callable"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'certfy'"):
        ctrlnet.certfy  # noqa: B018


def test_dir_lists_the_public_names():
    assert set(ctrlnet.__all__) <= set(dir(ctrlnet))


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert ctrlnet.__version__ == version("ctrlnet")
