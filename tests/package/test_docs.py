"""What the pages show is run: their Python as it stands, their TOML against the kinds that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ctrlnet.plugins import CONTRACTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
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


def test_the_readmes_example_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    script, printed = re.search(
        r"^```python\n(.*?)^```\n\n.*?^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
    ).groups()
    exec(compile(script, "README.md", "exec", dont_inherit=True), {"__name__": "readme"})
    assert capsys.readouterr().out == printed


def test_the_readmes_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link
