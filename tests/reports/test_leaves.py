"""Trees of certificates as boxes."""

from __future__ import annotations

import numpy as np
import pytest

from ctrlnet.reports.leaves import Leaves, corner, leaves_of


def document(tree: str, lower: list[str], upper: list[str]) -> dict:
    return {"statement": {"box": {"lower": lower, "upper": upper}}, "proof": {"interior": tree}}


def test_numbers_of_the_format_are_read() -> None:
    assert corner(["0x1.8p-1", "-0x1.0p+0", "3", "-1/4"]).tolist() == [0.75, -1.0, 3.0, -0.25]


def test_lower_half_comes_first() -> None:
    leaves = leaves_of(document("ApBxe", ["-1", "-2"], ["1", "2"]))
    assert leaves.kind == "pxe"
    assert leaves.lower.tolist() == [[-1, -2], [0, -2], [0, 0]]
    assert leaves.upper.tolist() == [[0, 2], [1, 0], [1, 2]]


@pytest.mark.parametrize("depth", [1, 4, 9])
def test_leaves_tile_the_box(depth: int) -> None:
    tree = "p"
    for level in range(depth):
        tree = "ABC"[level % 3] + tree + tree
    leaves = leaves_of(document(tree, ["-3", "0", "1"], ["1", "2", "5"]))
    assert len(leaves.kind) == 2**depth
    assert np.prod(leaves.upper - leaves.lower, axis=1).sum() == pytest.approx(4 * 2 * 4)


def test_slice_keeps_the_boxes_that_meet_it() -> None:
    leaves = Leaves(np.array([[0.0, 0, 0], [0, 0, 1]]), np.array([[1.0, 1, 1], [1, 1, 2]]), "px")
    assert leaves.through(np.array([0.5, 0.5, 0.5]), (0, 1)).kind == "p"
    assert leaves.through(np.array([0.5, 0.5, 1.0]), (0, 1)).kind == "px"
    assert leaves.of("x").kind == "x"
