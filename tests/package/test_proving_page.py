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


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_proves(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path(str(path), run_name="__main__")
    verdicts = [thing for thing in left.values() if isinstance(thing, Verdict)]
    assert verdicts and all(verdict.status == "certified" for verdict in verdicts)
    assert f"examples/proving/{path.name}" in left["__doc__"], "the docstring says how it is run"


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


@pytest.mark.parametrize("name", ["proving.md", "mathematics.md", "certificates.md", "conditions.md"])
def test_links_lead_somewhere(name):
    for link, _, heading in re.findall(r"\]\((?!https?:)([^)#]+)(#([^)]+))?\)", page(name)):
        assert (DOCS / link).exists(), link
        headings = re.findall(r"^#+ (.*)$", page(link), re.MULTILINE) if heading else []
        assert not heading or heading in {one.lower().replace(" ", "-") for one in headings}, heading


def test_the_files_of_the_checker_that_are_named_exist():
    import ctrlnet.checker

    folder, text = Path(ctrlnet.checker.__file__).parent, page("certificates.md")
    named = set(re.findall(r"`(\w+\.py)`", text))
    assert len(named) > 10 and all((folder / name).exists() for name in named)


def test_every_kind_of_statement_is_described():
    """In words, by its leaves and by its fields."""
    from ctrlnet.checker.kinds import KINDS

    text = page("certificates.md")
    for kind, statement in KINDS.items():
        assert f"**{kind}**" in text, kind
        (row,) = re.findall(rf"^\| `{kind}` \|([^|]*)\|", text, re.MULTILINE)
        assert all(name in row for name in statement.names), row
