"""How the studies are tried: imported by name and forgotten, on copies of their pages, in this process."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"
PAGES = ("studies", "integrator-studies")


@pytest.fixture
def study(monkeypatch, tmp_path):
    """Imports a study by its file's name, and forgets it; pages are copies, and one process does all the work."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(STUDIES)
    pages = importlib.import_module("pages")
    for page in PAGES:
        (tmp_path / f"{page}.md").write_text((ROOT / "docs" / f"{page}.md").read_text())
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    monkeypatch.setattr(pages, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(pages, "in_processes", lambda function, arguments: list(map(function, arguments)))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == STUDIES:
            del sys.modules[name]
