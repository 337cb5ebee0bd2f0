"""The pages on proving and its mathematics: the examples run, and the tables say what the code says."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import pytest

from ctrlnet.checker.graph import ARITY
from ctrlnet.graph import PRIMITIVES
from ctrlnet.graph.aten import HANDLERS
from ctrlnet.graph.aten.backward import BACKWARD
from ctrlnet.prover.verdict import Verdict

ROOT = Path(__file__).parents[2]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples" / "proving"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_pages_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", page("proving.md"), flags=re.DOTALL | re.MULTILINE)
    assert blocks
    exec(compile("\n".join(blocks), "docs/proving.md", "exec", dont_inherit=True), {"__name__": "docs"})
    assert {path.name for path in tmp_path.iterdir()} == {"pendulum.cert", "proof.png"}


@pytest.mark.parametrize("name", ["level", "gust", "network"])
def test_the_examples_prove(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    verdicts = [thing for thing in left.values() if isinstance(thing, Verdict)]
    assert verdicts and all(verdict.status == "certified" for verdict in verdicts)


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"level", "gust", "network"}


@pytest.mark.parametrize("name", ["proving.md", "mathematics.md"])
def test_tables_are_those_of_the_code(name, tables):
    assert name in tables.PAGES
    assert page(name) == tables.rewritten(page(name)), "run: python docs/tables.py"


def test_every_table_is_shown(tables):
    marked = [found for name in tables.PAGES for _, found, _ in tables.MARKED.findall(page(name))]
    assert sorted(marked) == sorted(tables.TABLES)


def test_a_stale_table_is_written_anew(tables):
    stale = "before\n<!-- table: primitives -->\n| old |\n<!-- end -->\nafter\n"
    fresh = tables.rewritten(stale)
    assert "old" not in fresh and fresh.startswith("before\n") and fresh.endswith("after\n") and "`tanh`" in fresh


def test_the_table_of_primitives_is_that_of_both_programs(tables):
    assert set(tables.FORMULAS) == set(PRIMITIVES)
    assert {name for name, primitive in PRIMITIVES.items() if primitive.certificate} == set(ARITY)


def test_every_operation_with_a_rule_is_named(tables):
    from ctrlnet.graph import aten

    grouped = {operation for group in tables.GROUPS.values() for operation in getattr(aten, group, ())}
    assert grouped | set(BACKWARD) == set(HANDLERS)
    for name in ("tanh", "softmax", "prelu", "linalg_solve", "layer_norm", "where", "scatter_add", "cat"):
        assert f"`{name}`" in tables.operations()


def test_every_statement_has_its_theorem(tables):
    from ctrlnet.checker.verification import STATEMENTS

    rows = tables.statements().splitlines()[2:]
    assert len(rows) == len(STATEMENTS)
    for row, (kind, statement) in zip(rows, STATEMENTS.items(), strict=True):
        assert row.startswith(f"| `{kind}` |") and (len(row) > 150 or kind == "conjunction"), row
        assert statement.__doc__


@pytest.mark.parametrize("name", ["proving.md", "mathematics.md"])
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page(name)):
        assert (DOCS / link).exists(), link
