"""A file against a run: the same expression written differently is the same, another one is named."""

from __future__ import annotations

import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

import certificates as c
import numpy as np
import pytest

from ctrlnet.checker import compare

CONTENT = c.neural_pendulum(4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "it.cert"
    place.write_bytes(c.sealed(CONTENT))
    return place


def test_the_same_content_has_no_differences(path: Path) -> None:
    assert compare(path, CONTENT["graphs"], CONTENT["statement"]) == []


def rewritten(graph: dict[str, Any]) -> dict[str, Any]:
    """The same expression: a dead node in front, arrays as rationals."""
    nodes = [["constant", [], c.array([7.0])]]
    for operation, ids, attribute in graph["nodes"]:
        if operation == "constant":
            attribute = (
                {"q": [str(Fraction(v)) for v in c.decoded(attribute).tolist()]} if "f8" in attribute else attribute
            )
        nodes.append([operation, [i + 1 for i in ids], attribute])
    return {"nodes": nodes, "output": graph["output"] + 1}


def test_another_spelling_of_the_same_is_the_same(path: Path) -> None:
    statement = copy.deepcopy(CONTENT["statement"])
    statement["level"] = str(Fraction(float.fromhex(statement["level"])))
    assert compare(path, {k: rewritten(g) for k, g in CONTENT["graphs"].items()}, statement) == []


def test_differences_are_named(path: Path) -> None:
    graphs, statement = copy.deepcopy(CONTENT["graphs"]), copy.deepcopy(CONTENT["statement"])
    statement["rate"], statement["box"]["upper"][0] = "1/2", "3"
    node = next(node for node in graphs["F"]["nodes"] if node[0] == "linear")
    values = c.decoded(node[2]["weight"]).copy()
    values[0] = np.nextafter(values[0], 9.0)
    node[2]["weight"] = c.array(values)
    words = compare(path, graphs, statement)
    assert len(words) == 3
    assert any("'rate' is 0.1 in the file, 0.5 in the run" in line for line in words)
    assert any("'box'" in line for line in words) and any("graph 'F'" in line and "linear" in line for line in words)


def test_missing_graphs_fields_and_lengths_are_named(path: Path) -> None:
    assert any(
        "only in the file" in line for line in compare(path, {"V": CONTENT["graphs"]["V"]}, CONTENT["statement"])
    )
    assert "fields" in compare(path, CONTENT["graphs"], {"kind": "positivity"})[0]
    longer = {**CONTENT["statement"], "equilibrium": [*CONTENT["statement"]["equilibrium"], "0"]}
    assert len(compare(path, CONTENT["graphs"], longer)) == 1
    fewer = copy.deepcopy(CONTENT["graphs"])
    fewer["V"]["output"] -= 1
    assert any("nodes in the file" in line for line in compare(path, fewer, CONTENT["statement"]))
