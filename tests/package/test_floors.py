"""The order of the rooms, held by reading every import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = [
    {"errors", "types", "rationals", "checker"},
    {"sets", "plugins", "runs", "devices"},
    {"systems", "mechanisms", "graph"},
    {"layers", "integrators"},
    {"policies", "candidates", "hybrid"},
    {"synthesis", "gaits", "conditions"},
    {"prover", "filters"},
    {"training"},
    {"simulation", "tasks"},
    {"validation", "gym"},
    {"reports", "exporters", "testing"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
BENEATH = {"errors"}  # imports nothing of ctrlnet, and every room but the checker may import it
WINGS = {"ctrlnet_plugins": ROOT / "plugins", "ctrlnet_envs": ROOT / "envs"}
HEAVY = {"torch", "mujoco", "cvxpy", "matplotlib", "gymnasium"}


def imports(path: Path) -> list[str]:
    """Dotted names of everything a file imports, wherever the import stands; `from a import b` gives a.b."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and _is_import_module(node):
            found.append(str(node.args[0].value))
    return found


def _is_import_module(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name == "import_module" and bool(node.args) and isinstance(node.args[0], ast.Constant)


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "ctrlnet").parts[0].removesuffix(".py")


def violations(path: Path) -> list[str]:
    """Imports of a file of ctrlnet that do not go down."""
    room, found = room_of(path), []
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top in WINGS or top in ("plugins", "envs"):
            found.append(f"{path.relative_to(ROOT)} imports the wing {name}")
        if top != "ctrlnet" or room == "__init__":
            continue
        other = rest.split(".")[0]
        if other in FLOOR and other != room and FLOOR[other] >= FLOOR[room] and other not in BENEATH:
            found.append(f"{path.relative_to(ROOT)} (floor {FLOOR[room]}) imports {name} (floor {FLOOR[other]})")
        if other not in FLOOR:
            found.append(f"{path.relative_to(ROOT)} imports {name}: inside ctrlnet, name the room")
    return found


def test_every_room_has_a_floor():
    rooms = {room_of(path) for path in files(ROOT / "ctrlnet")} - {"__init__"}
    assert rooms <= set(FLOOR), f"without a floor: {rooms - set(FLOOR)}"


def test_errors_lies_beneath_everything():
    assert not [name for name in imports(ROOT / "ctrlnet" / "errors.py") if name.startswith("ctrlnet")]


def test_imports_go_down():
    assert [line for path in files(ROOT / "ctrlnet") for line in violations(path)] == []


def test_the_checker_stands_alone():
    """Besides the standard library it imports numpy, and flint where exact arithmetic is asked for."""
    allowed = {"numpy", "flint", "ctrlnet"}
    for path in files(ROOT / "ctrlnet" / "checker"):
        for name in imports(path):
            assert not name.startswith("ctrlnet.") or name.startswith("ctrlnet.checker"), f"{path}: {name}"
            assert name.split(".")[0] in allowed | set(_standard_library()), f"{path}: {name}"


def _standard_library() -> frozenset[str]:
    import sys

    return sys.stdlib_module_names


@pytest.mark.parametrize("wing", WINGS)
def test_wings_use_public_names_only(wing):
    import ctrlnet

    public = set(ctrlnet.__all__)
    for path in files(WINGS[wing] / wing):
        for name in imports(path):
            top, _, rest = name.partition(".")
            if top == "ctrlnet":
                assert rest in public or rest == "", f"{path.relative_to(ROOT)} imports {name}"
            assert top not in set(WINGS) - {wing}, f"{path.relative_to(ROOT)} imports another wing: {name}"


def test_light_rooms_import_nothing_heavy():
    """The rooms that `import ctrlnet`, the registry and `ctrlnet --help` pass through."""
    modules = ("__init__", "errors", "cli/__init__", "plugins/__init__", "plugins/offers", "plugins/loading")
    for path in (ROOT / "ctrlnet" / f"{module}.py" for module in modules):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            tops = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
            tops += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {top.split(".")[0] for top in tops} & HEAVY, f"{path}: {tops}"


@pytest.mark.parametrize("bad", ["from ctrlnet.cli import main", "import ctrlnet.runs", "from ctrlnet import plugins",
                                 "def f():\n    import ctrlnet_envs.pendulum"])  # fmt: skip
def test_a_violation_is_seen(bad, tmp_path, monkeypatch):
    """The test above is worth nothing if it cannot fail."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "ctrlnet" / "sets" / "box.py"
    path.parent.mkdir(parents=True)
    path.write_text(bad)
    assert len(violations(path)) == 1
