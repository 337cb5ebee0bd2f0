"""Invariance: what is false only in a sliver, on one side of a kink, or on one face, is not confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content

from ctrlnet.checker import CheckReport, check_bytes

SQUARE = ([-1.0, -1.0], [1.0, 1.0])
TWO = ([-2.0, -2.0], [2.0, 2.0])
INWARD = c.linear_field(-np.eye(2))


def report(data: Content, **graphs: Content) -> CheckReport:
    return check_bytes(c.changed(data, lambda d: d["graphs"].update(graphs)))


def constant(*values: float) -> Content:
    return p.graph(2, lambda g, x: g.constant(values))


def kinked() -> Content:
    """h = x1 - |x2|."""
    return p.graph(2, lambda g, x: x[0] - g.op("abs", x[1]))


@pytest.mark.parametrize("kind", [p.barrier, p.nagumo])
@pytest.mark.parametrize(("field", "true"), [((2.0, 1.0), True), ((0.5, 1.0), False), ((1.0, 1.0), False)])
def test_a_kink_of_h_takes_both_sides(kind: Any, field: tuple[float, float], true: bool) -> None:
    """h = x1 - |x2|, F = field at the tip, inward on faces: h' = F1 - F2 on one side of the kink, F1 + F2 beyond."""
    decay = np.diag([-2 * field[0], -8.0])
    F = p.graph(2, lambda g, x: g.constant(field) + g.linear(decay, x))
    rate = [6.0] if kind is p.barrier else []
    assert report(kind(kinked(), F, ([-0.25, -1.0], [1.0, 1.0]), *rate)).ok == true


def sliver(width: float) -> Content:
    """x' = -x, but for a bump of this width at (0.6, 0.8) that pushes outward."""

    def build(g: c.Builder, x: c.Node) -> c.Node:
        bump = g.op("exp", g.linear([[-1 / width**2]], g.sum(g.op("square", x - g.constant([0.6, 0.8])))))
        return x * g.linear(np.full((2, 1), 1.5), bump) - x

    return p.graph(2, build)


@pytest.mark.parametrize("kind", [p.barrier, p.nagumo])
def test_a_field_that_leaves_in_a_sliver(kind: Any) -> None:
    """|x| <= 1 is left near (0.6, 0.8) alone, where no sample and no midpoint of the proof lies."""
    h = p.graph(2, lambda g, x: g.constant([1.0]) - g.sum(g.op("square", x)))
    data = kind(h, INWARD, TWO, 1.0) if kind is p.barrier else kind(h, INWARD, TWO)
    assert report(data).ok
    found = report(data, F=sliver(1e-3))
    assert found.status == "rejected" and "false at x = (0." in found.reason, found


def test_a_face_that_is_left_in_a_sliver() -> None:
    """F1 = 1 on the lower face but for a dip below 0 near x2 = 1/3."""

    def build(g: c.Builder, x: c.Node) -> c.Node:
        dip = g.op("exp", g.linear([[-1e6]], g.op("square", x[1] - g.constant([1 / 3]))))
        return g.concatenate(-x[0] - g.linear([[1.001]], dip), -x[1])

    data = p.within(INWARD, SQUARE)
    assert report(data).ok
    assert report(data, F=p.graph(2, build)).status == "rejected"


@pytest.mark.parametrize("speed", [0.0, 1e-300, -1e-300])
def test_a_field_along_a_face_is_not_inward(speed: float) -> None:
    found = report(p.within(INWARD, SQUARE), F=p.graph(2, lambda g, x: g.concatenate(g.constant([speed]), -x[1])))
    assert not found.ok


def test_exclusion_needs_its_own_sign() -> None:
    """h > 0 excludes a leaf under Nagumo, not under a barrier; h < 0 only on faces."""
    h = p.graph(2, lambda g, x: g.constant([3.0]) - x[0])  # positive on the whole box
    outward = c.linear_field(np.eye(2))
    for kind, fields, true in (("nagumo_invariance", {}, True), ("barrier_invariance", {"rate": "1"}, False)):
        proof = {"interior": "x", "faces": [["p", "p"]] * 2}
        data = p.file(kind, SQUARE, p.NONE, {"h": h, "F": INWARD}, proof, **fields)
        assert report(data).ok == true
        assert not report(data, F=outward).ok
        data["proof"]["faces"] = [["x", "x"]] * 2
        assert not report(data).ok


def test_a_switch_in_the_field_takes_both_values() -> None:
    """x1' = 1 for x2 > 0 and -1 for x2 < 0: on a face that is the line x2 = 0 both, so that neither is inward."""

    def field(g: c.Builder, x: c.Node, at: float) -> c.Node:
        push = g.op("select", x[1] - g.constant([at]), g.constant([1.0]), g.constant([2.0]))
        back = g.op("select", x[0], g.constant([-1.0]), g.constant([1.0]))
        return g.concatenate(back, push - g.constant([1.5]))

    for at, lower, true in ((0.0, True, False), (0.0, False, False), (0.5, False, False)):
        F = p.graph(2, lambda g, x, at=at: field(g, x, at))
        bounds = ([-1.0, 0.0], [1.0, 1.0]) if lower else ([-1.0, -1.0], [1.0, 0.0])
        data = p.file("stay_within", bounds, p.NONE, {"F": F}, {"faces": [["p", "p"]] * 2})
        assert report(data).ok == true
    relay = p.graph(2, lambda g, x: g.concatenate(
        *(g.op("select", x[i], g.constant([-1.0]), g.constant([1.0])) for i in (0, 1))))  # fmt: skip
    assert report(p.within(relay, SQUARE)).ok  # switches inside, inward on every face


@pytest.mark.parametrize("jump", [
    lambda g, x: g.op("select", x, g.constant([1.0]), g.constant([-1.0])),
    lambda g, x: g.op("floor", x) * g.constant([2.0]) + g.constant([1.0]),
])  # fmt: skip
def test_a_function_that_jumps_is_no_barrier(jump: Callable[[c.Builder, c.Node], c.Node]) -> None:
    """h = 1 for x1 > 0 and -1 for x1 < 0 rises along no field, and has no gradient at the switch."""
    h = p.graph(2, lambda g, x: jump(g, x[0]))
    faces = [["x", "p"], ["p", "p"]]
    for interior in ("p", "Axp"):
        data = p.file(
            "barrier_invariance",
            SQUARE,
            p.NONE,
            {"h": h, "F": INWARD},
            {"interior": interior, "faces": faces},
            rate="1",
        )
        assert not report(data).ok


def test_a_field_rounded_on_a_face_takes_both_values() -> None:
    """x2' = 3 - 4 floor(x2 + 1/2) on [-1, 1] x [-3/4, at]: 3 or -1 where at = 1/2, and -1 beyond."""
    for at, true in ((0.75, True), (0.5, False), (0.25, False)):
        F = p.graph(2, lambda g, x: g.concatenate(
            -x[0], g.constant([3.0]) - g.constant([4.0]) * g.op("floor", x[1] + g.constant([0.5]))))  # fmt: skip
        box = ([-1.0, -0.75], [1.0, at])
        assert report(p.file("stay_within", box, p.NONE, {"F": F}, {"faces": [["p", "p"]] * 2})).ok == true


def test_an_unbounded_gradient_of_h_proves_nothing() -> None:
    """h = sqrt x1 has the gradient [1/2, inf] on [0, 1], so that grad h.F >= 1/2 there under F = 1."""
    h = p.graph(2, lambda g, x: g.op("sqrt", x[0]))
    F = p.graph(2, lambda g, x: g.concatenate(g.constant([1.0]) - g.linear([[0.5]], x[0]), -x[1]))
    box = ([0.0, -1.0], [4.0, 1.0])
    proof = {"interior": "p", "faces": [["p", "p"], ["p", "p"]]}
    assert not report(p.file("barrier_invariance", box, p.NONE, {"h": h, "F": F}, proof, rate="1")).ok


def braking(rate: float = 4.0) -> Content:
    """x1' = x2, x2' = -x1 - 6 x2, h = 1 - x1^2: psi2 = rate - 2 x2^2 at x1 = 0, where psi1 = 1."""
    h = p.graph(2, lambda g, x: g.constant([1.0]) - g.op("square", x[0]))
    F = c.linear_field(np.array([[0.0, 1.0], [-1.0, -6.0]]))
    return p.high_order(h, F, ([-1.25, -0.5], [1.25, 0.5]), (1.0, rate))


@pytest.mark.parametrize(("rate", "true"), [(4.0, True), (0.5, False), (0.4999, False)])
def test_a_barrier_of_second_order(rate: float, true: bool) -> None:
    assert check_bytes(c.sealed(braking(rate))).ok == true


SINGLE = (["input", [], 3], ["take", [0], [1]], ["take", [0], [2]])


def shaken(*first: list[Any]) -> Content:
    """x1' = what these nodes make of x2 and d, nodes 1 and 2; x2' = -x1 - 6 x2 + d / 4."""
    second = ["linear", [0], {"rows": 1, "weight": {"q": ["-1", "-6", "1/4"]}}]
    nodes = [*SINGLE, *first, second, ["concatenate", [len(first) + 2, len(first) + 3], None]]
    return {"nodes": nodes, "output": len(nodes) - 1}


def mixed(*weights: str) -> list[Any]:
    return ["linear", [0], {"rows": 1, "weight": {"q": list(weights)}}]


FREE = {
    "plain": [["take", [1], [0]]],
    "weight zero": [mixed("0", "1", "0")],
    "beside it in a vector": [["concatenate", [2, 1], None], ["neg", [3], None], ["neg", [4], None],
                              ["take", [5], [1]]],
    "in another part of a sum": [["concatenate", [2, 2, 1, 1], None], ["sum", [3], 2], ["take", [4], [1]],
                                 ["constant", [], {"q": ["1/2"]}], ["mul", [5, 6], None]],
}  # fmt: skip
READ = {
    "added": [["add", [1, 2], None]],
    "of a tiny weight": [mixed("0", "1", "1/1" + 400 * "0")],
    "cancelled": [["add", [1, 2], None], ["sub", [3, 2], None]],
    "times zero": [["constant", [], {"q": ["0"]}], ["mul", [3, 2], None], ["add", [4, 1], None]],
    "a condition": [["neg", [1], None], ["neg", [3], None], ["select", [2, 1, 4], None]],
    "in a norm": [["concatenate", [1, 2], None], ["norm", [3], 1]],
    "in a sum": [["concatenate", [1, 2], None], ["sum", [3], 1]],
}


@pytest.mark.parametrize("name", FREE)
def test_a_disturbance_that_does_not_reach_the_first_derivative(name: str) -> None:
    h = braking()["graphs"]["h"]
    X, D = ([-1.25, -0.5], [1.25, 0.5]), ([-0.5], [0.5])
    assert check_bytes(c.sealed(p.high_order(h, shaken(*FREE[name]), X, (1.0, 4.0), D))).ok


@pytest.mark.parametrize("name", READ)
def test_a_disturbance_that_may_reach_the_first_derivative_is_refused(name: str) -> None:
    """Whatever the tree says, and be it that it cancels."""
    h = braking()["graphs"]["h"]
    data = p.high_order(h, shaken(*FREE["plain"]), ([-1.25, -0.5], [1.25, 0.5]), (1.0, 4.0), ([-0.5], [0.5]))
    found = report(data, F=shaken(*READ[name]))
    assert found.status == "rejected" and "entry 1 of F reads the disturbance" in found.reason, found
    assert report(data, h=p.graph(2, lambda g, x: g.constant([1.0]) - g.sum(g.op("square", x)))).status == "rejected"


def test_a_first_derivative_is_of_one_disturbance_only_in_appearance() -> None:
    """x1' = x2 + d: at every constant d the set of d is kept, but no set is the same for all; h falls below 0."""
    data = p.high_order(braking()["graphs"]["h"], shaken(["take", [1], [0]]), ([-1.25, -0.5], [1.25, 0.5]), (1.0, 4.0),
                        ([-0.5], [0.5]))  # fmt: skip
    for tree in ("p", "x", data["proof"]["interior"]):
        forged = c.changed(data, lambda d, tree=tree: d["proof"].update(interior=tree))
        assert check_bytes(forged).ok == (tree == data["proof"]["interior"])


def test_a_barrier_of_second_order_has_no_kink_where_it_is_proved() -> None:
    h = p.graph(2, lambda g, x: g.constant([1.0]) - g.op("abs", x[0]))
    assert not report(braking(), h=h).ok
    root = p.graph(2, lambda g, x: g.concatenate(x[1], -x[0] - g.op("sqrt", g.op("relu", x[1]))))
    assert not report(braking(), F=root).ok
