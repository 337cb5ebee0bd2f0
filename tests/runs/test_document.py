"""run.toml: what is written is what is read, and any change is noticed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrlnet.errors import RunDamaged, RunFormat, UsageError
from ctrlnet.runs.document import document, read_document
from ctrlnet.runs.toml import toml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), TEXT)
TABLES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(TEXT, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=3),
    lambda inner: st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SETTINGS = {"task": {"name": "pendulum", "parameters": {"torque_limit": 0.75}}}
FILES = {"policy.safetensors": "0" * 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "run.toml"
    file.write_bytes(document(SETTINGS, FILES))
    return file


@given(TABLES)
def test_text_is_read_back_by_the_standard_library(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table


def test_none_is_left_out() -> None:
    assert tomllib.loads(toml_text({"a": None, "b": {"c": None}})) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, [None]])
def test_what_toml_cannot_hold_is_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match=r"task\.parameters\.torque"):
        toml_text({"task": {"parameters": {"torque": value}}})


def test_round_trip(path: Path) -> None:
    assert read_document(path) == (SETTINGS, FILES)


def test_every_truncation_and_every_changed_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for i in range(len(whole)):
        for broken in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            path.write_bytes(broken)
            with pytest.raises((RunDamaged, RunFormat)):
                read_document(path)


@pytest.mark.parametrize("text", ["format = 2\n", 'format = 17\nschema = "new"\n[task]\n'])
def test_another_version_is_named(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(RunFormat, match=r"reads format 1.*upgrade"):
        read_document(path)


def test_a_folder_without_one_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDamaged, match="no run"):
        read_document(tmp_path / "run.toml")
    with pytest.raises(RunDamaged, match="There is no run"):
        read_document(tmp_path / "nowhere" / "run.toml")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDamaged, match="is a file"):
        read_document(tmp_path / "file" / "run.toml")
