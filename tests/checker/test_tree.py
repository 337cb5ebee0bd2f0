"""Trees: the leaves cover the root whatever the string, the midpoint is the format's, bad strings are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlnet.checker.report import Rejected, Unconfirmed, Unreadable
from ctrlnet.checker.tree import leaves

TREES = st.recursive(
    st.sampled_from("px"), lambda t: st.tuples(st.sampled_from("ABC"), t, t).map("".join), max_leaves=40
)


def walk(tree: str, lo: list[float], hi: list[float]) -> tuple[list[tuple[list[float], list[float], str]], str]:
    """The format's definition, by recursion."""
    head, tree = tree[0], tree[1:]
    if head.islower():
        return [(lo, hi, head)], tree
    i = ord(head) - 65
    middle = 0.5 * lo[i] + 0.5 * hi[i]
    first, tree = walk(tree, lo, [*hi[:i], middle, *hi[i + 1 :]])
    second, tree = walk(tree, [*lo[:i], middle, *lo[i + 1 :]], hi)
    return first + second, tree


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_leaves_are_those_of_the_definition_and_cover_the_box(tree: str) -> None:
    lower, upper = np.array([-1.0, 0.1, 1e-3]), np.array([2.0, 0.7, 1e5])
    found = leaves(tree, lower, upper, "px", "it")
    expected, rest = walk(tree, lower.tolist(), upper.tolist())
    assert not rest
    assert [
        (a, b, chr(k)) for a, b, k in zip(found.box.lo.tolist(), found.box.hi.tolist(), found.kinds, strict=True)
    ] == expected
    assert np.prod(found.box.hi - found.box.lo, axis=1).sum() == pytest.approx(np.prod(upper - lower))
    assert len(found.of_kind("p")) == tree.count("p")


@given(st.text("ABpx", min_size=0, max_size=12))
@settings(max_examples=400, deadline=None)
def test_a_string_is_a_tree_or_is_refused(tree: str) -> None:
    try:
        expected, rest = walk(tree, [0.0, 0.0], [1.0, 1.0])
        good = not rest
    except IndexError:
        good = False
    if good:
        assert len(leaves(tree, np.zeros(2), np.ones(2), "px", "it")) == len(expected)
    else:
        with pytest.raises(Unconfirmed):
            leaves(tree, np.zeros(2), np.ones(2), "px", "it")


@pytest.mark.parametrize("tree", ["", "Ap p", "p\n", "Cpp", "zp", "A", "é", "1", 3, None, ["p"]])
def test_what_is_no_tree(tree: object) -> None:
    with pytest.raises(Unconfirmed):
        leaves(tree, np.zeros(2), np.ones(2), "px", "it")


def test_a_leaf_kind_that_is_not_allowed_is_rejected() -> None:
    with pytest.raises(Rejected, match="kind 'e'"):
        leaves("Axe", np.zeros(1), np.ones(1), "x", "a face")


def test_a_degenerate_dimension_and_neighbouring_floats_cannot_be_split() -> None:
    for upper in (0.0, 5e-324):
        with pytest.raises(Rejected, match="no width"):
            leaves("App", np.zeros(1), np.array([upper]), "p", "it")


def test_deep_trees_need_no_recursion() -> None:
    deep = "A" * 1000 + "p" * 1001
    assert len(leaves(deep, np.zeros(1), np.ones(1), "p", "it")) == 1001


def test_trees_that_are_too_large_are_refused() -> None:
    with pytest.raises(Unreadable, match="too many"):
        leaves("A" * 2**25, np.zeros(1), np.ones(1), "p", "it")
