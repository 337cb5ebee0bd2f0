"""What the pages show is run: their Python as it stands, their TOML against the kinds that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ctrlnet.plugins import CONTRACTS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("integrators", "optimizers", "environments")


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = "\n".join(blocks(page, "python"))
    assert script
    exec(compile(script, f"docs/{page}.md", "exec", dont_inherit=True), {"__name__": "docs"})


@pytest.mark.parametrize("page", PAGES)
def test_the_entry_points_are_of_the_pages_kind(page):
    (text,) = blocks(page, "toml")
    (group,) = tomllib.loads(text)["project"]["entry-points"]
    assert group == f"ctrlnet.{page}" and page in CONTRACTS


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (DOCS / link).exists(), link
