"""The page on conditions: its examples run, its table names every condition with its parameters."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import ctrlnet.conditions

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "conditions.md").read_text(encoding="utf-8")
CONDITIONS = [thing for thing in vars(ctrlnet.conditions).values() if hasattr(thing, "clauses")]


def test_the_examples_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    exec(compile("\n".join(blocks), "docs/conditions.md", "exec", dont_inherit=True), {"__name__": "docs"})


def test_the_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE):
        assert (DOCS / link).exists(), link


@pytest.mark.parametrize(
    "condition", [thing for thing in CONDITIONS if dataclasses.is_dataclass(thing)], ids=lambda thing: thing.__name__
)
def test_the_table_has_the_signature(condition: type) -> None:
    parameters = [
        field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default}"
        for field in dataclasses.fields(condition)
    ]
    assert f"| `{condition.__name__}({', '.join(parameters)})` |" in PAGE
    assert condition.__name__ in ctrlnet.__all__
