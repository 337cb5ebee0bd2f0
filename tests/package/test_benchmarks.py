"""The benchmarks are importable, have a target each, and the page of figures keeps its order."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
TARGETS = tomllib.loads((HERE / "targets.toml").read_text(encoding="utf-8"))


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a benchmark by its file's name, and forgets it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(HERE)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == HERE:
            del sys.modules[name]


@pytest.mark.parametrize("name", TARGETS)
def test_each_can_be_measured_and_each_figure_has_one_target(name, benchmark):
    assert callable(benchmark(name).measure)
    for figure, values in TARGETS[name].items():
        assert ("most" in values) != ("least" in values), figure


def test_every_benchmark_with_a_measure_has_targets(benchmark):
    found = {path.stem for path in HERE.glob("*.py") if path.stem != "run"}
    assert {name for name in found if hasattr(benchmark(name), "measure")} == set(TARGETS)


def _row(scale, width, asked, boxes):
    verdict = SimpleNamespace(status="certified", level=0.5, boxes=boxes, report=SimpleNamespace(leaves=3))
    return scale.Row("cart-pole", width, asked, 1.0, scale.Proof(verdict, 1.0, 2.0, 3.0))


def test_a_row_of_the_page_is_entered_in_its_place_and_replaced(benchmark):
    scale = benchmark("scale")
    page = "# Scale\n\n| n | plant | more |\n|---|---|---|\n\nThe end.\n"
    for width, asked, boxes in ((64, 0.9, 1), (16, None, 2), (16, 0.5, 3), (64, 0.9, 4000)):
        page = scale.entered(page, _row(scale, width, asked, boxes))
    rows = [line for line in page.splitlines() if line.startswith("| 4 ")]
    assert [row.split(" | ")[2:4] for row in rows] == [["16", "0.5"], ["16", "largest"], ["64", "0.9"]]
    assert "4,000" in rows[-1] and page.endswith("\n\nThe end.\n")
