"""Positivity: margins on boxes and on parts of boxes, true and false."""

from __future__ import annotations

from typing import Any

import certificates as c
import numpy as np
import pytest

from ctrlnet.checker import CheckReport, check_bytes


def scalar(build: Any, n: int = 2) -> dict[str, Any]:
    g = c.Builder(n)
    return g.output(build(g, g.input()))


def disc(radius: float) -> dict[str, Any]:
    """w = |x|^2 - radius^2, not positive inside."""
    return scalar(lambda g, x: g.sum(g.op("square", x)) - g.constant([radius**2]))


def file(margin: dict[str, Any], tree: str, **where: dict[str, Any]) -> dict[str, Any]:
    return {
        "statement": {"kind": "positivity", "box": {"lower": ["-1", "-1"], "upper": ["1", "1"]}, "where": list(where)},
        "graphs": {"margin": margin, **where},
        "proof": {"interior": tree},
        "assumptions": [],
        "provenance": None,
    }


def checked(*parts: Any, **where: Any) -> CheckReport:
    return check_bytes(c.sealed(file(*parts, **where)))


INSIDE = scalar(lambda g, x: g.constant([0.6]) - g.sum(g.op("square", x)))
FOUR = "A" + "Bxx" + "Bxx"


def grid(depth: int, kind: Any, lo: tuple = (-1, -1), hi: tuple = (1, 1)) -> str:
    if depth == 0:
        return str(kind(lo, hi))
    i = depth % 2
    middle = (lo[i] + hi[i]) / 2
    low, high = list(lo), list(hi)
    low[i] = high[i] = middle
    return "AB"[i] + grid(depth - 1, kind, lo, tuple(high)) + grid(depth - 1, kind, tuple(low), hi)


def far(lo: tuple, hi: tuple) -> str:
    return "x" if sum(max(a, -b, 0) ** 2 for a, b in zip(lo, hi, strict=True)) > 0.25 else "p"


def test_a_margin_on_a_disc() -> None:
    found = checked(INSIDE, grid(8, far), w=disc(0.5))
    assert found.ok, found.reason
    assert "w(x) <= 0" in found.statement and "margin(x) > 0" in found.statement


def test_without_conditions_the_whole_box() -> None:
    positive = scalar(lambda g, x: g.constant([2.5]) - g.sum(g.op("square", x)))
    assert checked(positive, "p").ok
    assert not checked(positive, "Apx").ok


@pytest.mark.parametrize("tree", ["p", "x", FOUR, "e", "A", ""])
def test_wrong_trees(tree: str) -> None:
    assert checked(INSIDE, tree, w=disc(0.5)).status in ("rejected", "unreadable")


def test_false_margins_are_rejected_at_a_point() -> None:
    found = checked(INSIDE, grid(8, lambda a, b: "p"), w=disc(0.5))
    assert found.status == "rejected" and "false at x" in found.reason
    assert checked(INSIDE, grid(8, far), w=disc(0.9)).status == "rejected"


def test_a_margin_that_vanishes_at_a_point_is_not_positive() -> None:
    square = scalar(lambda g, x: g.sum(g.op("square", x)))
    assert not checked(square, "p").ok
    assert not checked(square, grid(6, lambda a, b: "p")).ok


def test_a_margin_that_is_zero_on_a_part_of_the_box_is_not_positive() -> None:
    """relu(x1 + 1/4): its lower bound is exactly 0, and its value at the midpoint is positive."""
    margin = scalar(lambda g, x: g.op("relu", x[0] + g.constant([0.25])))
    assert checked(margin, "p").status == "rejected"


def test_each_part_may_be_excluded_by_another_condition() -> None:
    outside = {
        name: scalar(lambda g, x, s=s: g.linear(np.array([[s, 0.0]]), x) + g.constant([0.25]))
        for name, s in (("a", 1.0), ("b", -1.0))
    }
    never = scalar(lambda g, x: g.constant([-1.0]))
    assert checked(never, "x", **outside).ok


@pytest.mark.parametrize("names", [["w", "w"], ["margin"], [3], "w", ["v"]])
def test_names_of_conditions(names: Any) -> None:
    data = file(INSIDE, "p", w=disc(0.5))
    data["statement"]["where"] = names
    assert check_bytes(c.sealed(data)).status == "unreadable"


def test_an_undefined_margin_is_not_positive() -> None:
    """max(1/x, 5) has the lower bound 5 wherever it exists; it does not exist everywhere."""
    margin = scalar(lambda g, x: g.op("maximum", g.constant([1.0]) / x[0], g.constant([5.0])))
    assert not checked(margin, "p").ok
