"""Conjunctions: true when every part is, and only then."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content

from ctrlnet.checker import check_bytes, compare

SQUARE = ([-1.0, -1.0], [1.0, 1.0])
MARGIN = p.file(
    "positivity", SQUARE, p.NONE, {"margin": p.graph(2, lambda g, x: g.constant([1.0]))}, {"interior": "p"}, where=[]
)
PUSHED = p.graph(4, lambda g, z: z[[2, 3]] - z[[0, 1]])
ROBUST = p.within(PUSHED, SQUARE, ([-0.5, -0.5], [0.5, 0.5]))
BOTH = p.conjunction(c.spiral(), ROBUST, MARGIN)


def test_all_parts_are_confirmed_and_spoken() -> None:
    found = check_bytes(c.sealed(BOTH))
    assert found.ok, found.reason
    assert all(text in found.statement for text in ("(1) For every state x(0) of S", "(2) For every", "margin(x) > 0"))
    alone = [check_bytes(c.sealed(part)) for part in (c.spiral(), ROBUST, MARGIN)]
    assert found.leaves == sum(r.leaves for r in alone) and found.evaluations == sum(r.evaluations for r in alone)


def part(i: int, edit: Callable[[Content], Any]) -> Callable[[Content], Any]:
    return lambda data: edit(data["statement"]["parts"][i])


FALSE: dict[str, tuple[Callable[[Content], Any], str, str]] = {
    "first": (part(0, lambda d: d["statement"].update(rate="4")), "rejected", "part 1 (exponential_stability)"),
    "second": (part(1, lambda d: d["graphs"].update(F=p.graph(4, lambda g, z: z[[0, 1]]))), "rejected", "part 2 (stay"),
    "last": (part(2, lambda d: d["proof"].update(interior="x")), "rejected", "part 3 (positivity)"),
    "swapped graphs": (part(2, lambda d: d.update(graphs={})), "unreadable", "part 3"),
    "no proof": (part(1, lambda d: d.update(proof={})), "unreadable", "part 2"),
    "no part": (lambda d: d["statement"].update(parts=[]), "unreadable", "parts"),
    "too many": (lambda d: d["statement"].update(parts=[MARGIN] * 257), "unreadable", "parts"),
    "a part that is a list": (lambda d: d["statement"].update(parts=[[]]), "unreadable", "part 1"),
    "another field": (lambda d: d["statement"].update(box=p.box(SQUARE)), "unreadable", "fields"),
    "graphs above": (lambda d: d.update(graphs={"V": c.quadratic(np.eye(2))}), "unreadable", "parts"),
    "a proof above": (lambda d: d.update(proof={"interior": "p"}), "unreadable", "parts"),
    "nested": (lambda d: d["statement"].update(parts=[p.conjunction(MARGIN)]), "unreadable", "part"),
    "nested, bare": (
        lambda d: d["statement"].update(parts=p.conjunction(p.conjunction(MARGIN))["statement"]["parts"]),
        "unreadable", "cannot be part",
    ),
    "a kind that is a list": (part(0, lambda d: d["statement"].update(kind=["conjunction"])), "unreadable", "part 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_one_false_part_is_enough(name: str) -> None:
    edit, status, words = FALSE[name]
    found = check_bytes(c.changed(BOTH, edit))
    assert found.status == status and words in found.reason and "failed" not in found.reason, found


def test_comparison_goes_part_by_part(tmp_path: Path) -> None:
    path = tmp_path / "it.cert"
    path.write_bytes(c.sealed(BOTH))
    run = copy.deepcopy(BOTH["statement"])
    for item in run["parts"]:
        item.pop("proof")  # a run need not hold any
    assert compare(path, {}, run) == []
    run["parts"][0]["statement"]["rate"] = "1/2"
    run["parts"][1]["graphs"]["F"] = p.graph(4, lambda g, z: z[[3, 2]] - z[[0, 1]])
    words = compare(path, {}, run)
    assert len(words) == 2 and "part 1: statement: 'rate'" in words[0] and "part 2: graph 'F'" in words[1]
    run["parts"].pop()
    assert "conjunction of 3 in the file, a conjunction of 2" in compare(path, {}, run)[0]
    spiral = c.spiral()
    assert "kind 'exponential_stability' in the run" in compare(path, spiral["graphs"], spiral["statement"])[0]


def test_comparison_of_statements_with_a_disturbance(tmp_path: Path) -> None:
    path = tmp_path / "it.cert"
    path.write_bytes(c.sealed(ROBUST))
    statement = copy.deepcopy(ROBUST["statement"])
    assert compare(path, ROBUST["graphs"], statement) == []
    statement["disturbance"]["upper"][0] = "1/4"
    assert "'disturbance'" in compare(path, ROBUST["graphs"], statement)[0]
    del statement["disturbance"]
    assert "fields" in compare(path, ROBUST["graphs"], statement)[0]
