"""What the pages show is run: their Python as it stands, their TOML against the kinds that exist."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import tomllib
from pathlib import Path

import pytest

import ctrlnet
from ctrlnet.cli import VERBS, main
from ctrlnet.plugins import CONTRACTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ("integrators", "optimizers", "environments")
GUIDES = (*PAGES, "training", "solving", "choosing-an-integrator", "layer-parallel", "policies")


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", GUIDES)
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


@pytest.mark.parametrize("page", GUIDES)
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (DOCS / link).exists(), link


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_example_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pattern = r"^```python\n(.*?)^```\n\n.*?^```\n(.*?)^```$"
    script, printed = re.search(pattern, README, re.DOTALL | re.MULTILINE).groups()
    exec(compile(script, "README.md", "exec", dont_inherit=True), {"__name__": "readme"})
    assert capsys.readouterr().out == printed
    assert {path.name for path in tmp_path.iterdir()} == {"van_der_pol.cert", "van_der_pol.png"}


def test_the_readmes_example_has_ten_lines():
    (script,) = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert sum(bool(line.strip()) for line in script.splitlines()) == 10


def test_the_readmes_conditions_exist():
    shown = re.findall(r"`([A-Z]\w+)\(([\w, ()]*)\)`", README)
    assert {name for name, _ in shown} >= {"ExponentialStability", "UltimateBound", "StayWithin"}
    for name, arguments in shown:
        given = [one.strip() for one in re.sub(r"\(.*?\)", "rates", arguments).split(",")]
        known = list(inspect.signature(getattr(ctrlnet, name)).parameters)
        assert given == known[: len(given)], name


def test_the_readmes_commands_exist():
    """Every verb of the program with its options, and every target of make that the page names."""
    rows = re.findall(rf"`(?:ctrlnet )?({'|'.join(VERBS)})\b([^`]*)`", README)
    assert {verb for verb, _ in rows} == set(VERBS)
    for verb, rest in rows:
        text = _shown([verb, *re.findall("pendulum|new", rest), "--help"])
        for option in re.findall(r"--[\w.-]+", rest):
            assert option in text, (verb, option)
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)
    assert set(named) <= set(targets) and "demo" in named


def _shown(arguments: list[str]) -> str:
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink):
        assert main(arguments) == 0
    return sink.getvalue()


def test_the_readmes_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link
