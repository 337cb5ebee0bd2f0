"""Every kind of statement: true ones are confirmed in both modes, false ones and false proofs never."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content

from ctrlnet.checker import CheckReport, check_bytes

SQUARE = ([-1.0, -1.0], [1.0, 1.0])
TWO = ([-2.0, -2.0], [2.0, 2.0])
SPIRAL = np.array([[-1.0, 2.0], [-2.0, -1.0]])
HALF_TURN = 0.5 * np.array([[0.6, -0.8], [0.8, 0.6]])


def cube(k: int, size: float) -> p.Box:
    return [-size] * k, [size] * k


def disc(sign: float, radius: float = 1.0) -> Content:
    """sign (|x|^2 - radius^2)."""
    return p.graph(2, lambda g, x: g.linear([[sign]], g.sum(g.op("square", x)) - g.constant([radius**2])))


def pushed(A: np.ndarray, gain: float = 1.0) -> Content:
    """A x + gain d."""
    n = len(A)
    return p.graph(2 * n, lambda g, z: g.linear(np.hstack([A, gain * np.eye(n)]), z))


def scaled(A: np.ndarray, gain: float) -> Content:
    """(1 + gain d) A x, d a number."""
    one = np.ones((2, 1))
    return p.graph(3, lambda g, z: g.linear(A, z[[0, 1]]) * (g.constant([1.0, 1.0]) + g.linear(gain * one, z[2])))


def half_plane() -> Content:
    """h = x1 + 1/2 - |x2| / 4, a barrier with a kink that meets the faces of X, for x' = -x."""
    h = p.graph(2, lambda g, x: x[0] + g.constant([0.5]) - g.linear([[0.25]], g.op("abs", x[1])))
    return p.barrier(h, c.linear_field(-np.eye(2)), SQUARE, 1.0)


def braking() -> Content:
    """x1' = x2, x2' = -x1 - 6 x2 and h = 1 - x1^2, of relative degree 2."""
    h = p.graph(2, lambda g, x: g.constant([1.0]) - g.op("square", x[0]))
    return p.high_order(
        h, c.linear_field(np.array([[0.0, 1.0], [-1.0, -6.0]])), ([-1.25, -0.5], [1.25, 0.5]), (1.0, 4.0)
    )


def pushed_while_braking(gain: float = 1.0) -> Content:
    """The same with x2' = -x1 - 6 x2 + gain d, |d| <= 1/8: psi2 = 1/2 - 2 |d| at (1, -1/2)."""
    h = p.graph(2, lambda g, x: g.constant([1.0]) - g.op("square", x[0]))
    F = p.graph(3, lambda g, z: g.linear(np.array([[0.0, 1.0, 0.0], [-1.0, -6.0, gain]]), z))
    return p.high_order(h, F, ([-1.25, -0.5], [1.25, 0.5]), (1.0, 4.0), cube(1, 0.125))


def cubic(gain: float = 1.0) -> Content:
    """x' = -x^3 + gain d."""
    return p.graph(4, lambda g, z: g.linear(gain * np.eye(2), z[[2, 3]]) - g.power(z[[0, 1]], 3))


TRUE: dict[str, Callable[[], Content]] = {
    "barrier": lambda: p.barrier(disc(-1.0), pushed(SPIRAL), TWO, 1.0, cube(2, 0.2)),
    "barrier on faces": half_plane,
    "nagumo": lambda: p.nagumo(disc(-1.0), pushed(SPIRAL), TWO, cube(2, 0.2)),
    "high order": braking,
    "disturbed high order": pushed_while_braking,
    "within": lambda: p.within(cubic(0.5), SQUARE, cube(2, 1.0)),
    "ultimate": lambda: p.ultimate(disc(1.0, 0.0), pushed(SPIRAL), SQUARE, (0.25, 0.9), cube(2, 0.2)),
    "discrete": lambda: p.discrete(disc(1.0, 0.0), scaled(HALF_TURN, 0.25), SQUARE, 0.5, 0.9, 0.125, cube(1, 1.0)),
    "discrete ultimate": lambda: p.discrete_ultimate(
        disc(1.0, 0.0), pushed(HALF_TURN), SQUARE, (0.25, 0.8), cube(2, 0.1)
    ),
    "robust": lambda: p.robust(disc(1.0, 0.0), scaled(SPIRAL, 0.5), SQUARE, 0.5, 0.9, 0.125, cube(1, 1.0)),
}


@cache
def content(name: str) -> Content:
    return TRUE[name]()


def report(data: Content, exact: bool = False) -> CheckReport:
    return check_bytes(c.sealed(data), exact)


def edited(name: str, edit: Callable[[Content], Any]) -> CheckReport:
    return check_bytes(c.changed(content(name), edit))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_confirmed(name: str, exact: bool) -> None:
    found = report(content(name), exact)
    assert found.status == "confirmed", found.reason
    assert found.leaves > 2 and found.evaluations > 0
    assert "For every state x" in found.statement and "graphs in the file" in found.statement
    assert ("disturbance" in found.statement) == ("disturbance" in content(name)["statement"])


def negated(name: str) -> Callable[[Content], Any]:
    def edit(data: Content) -> None:
        graph = data["graphs"][name]
        graph["nodes"].append(["neg", [graph["output"]], None])
        graph["output"] = len(graph["nodes"]) - 1

    return edit


def parameters(**fields: Any) -> Callable[[Content], Any]:
    return lambda data: data["statement"].update(fields)


def grown_disturbance(factor: float) -> Callable[[Content], Any]:
    def edit(data: Content) -> None:
        box = data["statement"]["disturbance"]
        data["statement"]["disturbance"] = {
            side: c.numbers([factor * float.fromhex(v) for v in box[side]]) for side in ("lower", "upper")
        }

    return edit


def tree(name: str, change: Callable[[str], str]) -> Callable[[Content], Any]:
    return lambda data: data["proof"].update({name: change(data["proof"][name])})


def face(change: Callable[[list[Any]], Any]) -> Callable[[Content], Any]:
    return lambda data: change(data["proof"]["faces"])


def every_face(letter: str) -> Callable[[Content], Any]:
    return lambda data: data["proof"].update(faces=[[letter, letter]] * len(data["proof"]["faces"]))


CHAINS = ("high order", "disturbed high order")
FLOWS = ("barrier", "barrier on faces", "nagumo", *CHAINS, "within", "ultimate", "robust")
MAPS = ("discrete", "discrete ultimate")
BARRIERS = ("barrier", "barrier on faces", "nagumo", *CHAINS)
INTERIOR = (*BARRIERS, "ultimate", "robust", *MAPS)

FALSE: list[tuple[tuple[str, ...], str, Callable[[Content], Any]]] = [
    (FLOWS, "F backwards", negated("F")),
    (BARRIERS, "h negated", negated("h")),
    (("ultimate", "robust", *MAPS), "V negated", negated("V")),
    (INTERIOR, "a leaf less", tree("interior", lambda t: t[:-1])),
    (INTERIOR, "a leaf more", tree("interior", lambda t: t + "p")),
    (("nagumo", *CHAINS, "ultimate", "robust", *MAPS), "everything proved", tree("interior", lambda t: "p")),
    (INTERIOR, "everything excluded", tree("interior", lambda t: "x")),
    (INTERIOR, "a leaf of another kind", tree("interior", lambda t: t[:-1] + "q")),
    (INTERIOR, "a split that does not exist", tree("interior", lambda t: "Fpp")),
    (("discrete ultimate",), "inner tree excluded", tree("inner", lambda t: "x")),
    (("discrete ultimate",), "inner tree cut", tree("inner", lambda t: t[:-1])),
    (FLOWS, "a face forgotten", face(lambda faces: faces[0].pop())),
    (FLOWS, "a dimension forgotten", face(lambda faces: faces.pop())),
    (FLOWS, "a face cut", face(lambda faces: faces[1].__setitem__(0, "A"))),
    (FLOWS, "a face split across", face(lambda faces: faces[0].__setitem__(0, "Appp"))),
    (FLOWS, "a face of equilibrium", every_face("e")),
    (("barrier on faces", *CHAINS), "faces excluded", every_face("x")),
    (("ultimate", "robust"), "faces proved", every_face("p")),
    (("within",), "faces excluded", every_face("x")),
    (("barrier", "barrier on faces"), "rate negative", parameters(rate="-1")),
    (CHAINS, "a rate negative", parameters(rates=["-1", "4"])),
    (CHAINS, "rates too small", parameters(rates=["1", "1"])),
    (("ultimate", "discrete ultimate"), "inner above outer", parameters(inner="2", outer="1")),
    (("ultimate", "discrete ultimate"), "inner equal to outer", parameters(inner="1/2", outer="1/2")),
    (("ultimate", "discrete ultimate"), "inner too small", parameters(inner="1/50")),
    (("ultimate",), "outer beyond the box", parameters(outer="21/20")),
    (("discrete",), "kappa too large", parameters(kappa="5/8")),
    (("discrete",), "kappa above 1", parameters(kappa="5/4")),
    (("discrete",), "kappa zero", parameters(kappa="0")),
    (("discrete",), "level negative", parameters(level="-1")),
    (("discrete",), "equilibrium moved", parameters(equilibrium=["1/1000", "0"])),
    (("robust",), "rate too large", parameters(rate="21/20")),
    (("barrier",), "disturbance too large", grown_disturbance(5.0)),
    (("nagumo", "ultimate"), "disturbance too large", grown_disturbance(6.0)),
    (("within",), "disturbance too large", grown_disturbance(2.01)),
    (("disturbed high order",), "disturbance too large", grown_disturbance(2.01)),
    (("discrete",), "disturbance too large", grown_disturbance(2.0)),
    (("discrete ultimate",), "disturbance too large", grown_disturbance(2.0)),
    (("robust",), "disturbance too large", grown_disturbance(2.0)),
    (INTERIOR, "a field more", parameters(margin="1")),
    (FLOWS, "the dimension of F", lambda data: data["graphs"].update(F=disc(1.0))),
]


@pytest.mark.parametrize(("name", "change"), [(name, row[1]) for row in FALSE for name in row[0]])
def test_false_statements_and_false_proofs_are_not_confirmed(name: str, change: str) -> None:
    (edit,) = [edit for names, words, edit in FALSE if words == change and name in names]
    found = edited(name, edit)
    no_midpoint_refutes = (name, change) == ("nagumo", "everything excluded")
    assert found.status == "undecided" if no_midpoint_refutes else found.status in ("rejected", "unreadable"), found
    assert found.reason and "failed" not in found.reason


OUTSIDE: dict[str, Any] = {
    "a point": {"lower": ["0"], "upper": ["0"]},
    "none": None,
    "empty": {"lower": ["1"], "upper": ["0"]},
    "of no dimension": {"lower": [], "upper": []},
    "too many": {"lower": ["0"] * 25, "upper": ["1"] * 25},
    "not a float64": {"lower": ["1/3"], "upper": ["1"]},
}


@pytest.mark.parametrize("box", OUTSIDE)
def test_boxes_of_the_disturbance(box: str) -> None:
    found = edited("discrete", lambda data: data["statement"].update(disturbance=OUTSIDE[box]))
    assert found.status == ("rejected" if box == "a point" else "unreadable"), found  # its tree splits D
    if box == "a point":
        point = p.discrete(disc(1.0, 0.0), scaled(HALF_TURN, 0.25), SQUARE, 0.5, 0.9, 0.125, cube(1, 0.0))
        assert report(point).ok


@pytest.mark.parametrize("name", ["high order", "positivity"])
def test_kinds_without_a_disturbance(name: str) -> None:
    data = copy.deepcopy(content("high order"))
    if name == "positivity":
        data = p.file("positivity", SQUARE, p.NONE, {"margin": disc(-1.0, 2.0)}, {"interior": "p"}, where=[])
        assert report(data).ok
    data["statement"]["disturbance"] = {"lower": ["0"], "upper": ["1"]}
    assert report(data).status == "unreadable"


def test_graphs_have_the_inputs_that_they_may_depend_on() -> None:
    """V of the state alone, F of state and disturbance."""
    for name, graph in (("V", p.graph(3, lambda g, z: g.sum(g.op("square", z)))), ("F", c.linear_field(HALF_TURN))):
        found = edited("discrete", lambda data, name=name, graph=graph: data["graphs"].update({name: graph}))
        assert found.status == "unreadable", found
