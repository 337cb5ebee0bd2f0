"""Existence of an admissible control: true statements are confirmed in both modes, false ones never."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content, Vector

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.checker.common_control import throughout
from ctrlnet.checker.controls import Condition, Plant, chosen, driven, held
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.resting import law

SQUARE = ([-2.0, -2.0], [2.0, 2.0])


# ---- the double integrator x' = v, v' = u, |u| <= 1, with V = x² + x v + v² -----------------------------------------


def drift() -> Content:
    return c.linear_field(np.array([[0.0, 1.0], [0.0, 0.0]]))


def constant(*entries: float) -> Content:
    return p.graph(2, lambda g, x: g.constant(entries))


def crossed(sign: float = 1.0, offset: float = 0.0) -> Content:
    """offset + sign (x² + x v + v²)."""
    R = sign * np.array([[1.0, 0.5], [0.5, 1.0]])
    return p.graph(2, lambda g, x: g.constant([offset]) + g.sum(x * g.linear(R, x)))


def speed(limit: float) -> Content:
    """limit² - v²."""
    return p.graph(2, lambda g, x: g.constant([limit**2]) - g.op("square", x[1]))


def spare(
    graphs: Content, U: p.Box, demands: dict[str, tuple[float, int]], D: p.Box = p.NONE
) -> Callable[[Vector], Vector]:
    """The length of the interval of controls (one input) that satisfy all demands at all corners of D."""

    def margin(x: Vector) -> Vector:
        low, high = (np.full(len(x), end[0]) for end in U)
        for (name, (rate, sign)), d in itertools.product(demands.items(), itertools.product(*zip(*D, strict=True))):
            slope, z = c.gradient(graphs[name], x), np.hstack([x, np.tile(d, (len(x), 1))])
            a = sign * ((slope * c.evaluate(graphs["f"], z)).sum(1) + rate * c.evaluate(graphs[name], x)[:, 0])
            b = sign * (slope * c.evaluate(graphs["g"], z)).sum(1)
            low = np.where(b > 1e-9, np.maximum(low, -a / b), low)
            high = np.where(b < -1e-9, np.minimum(high, -a / b), high)
            high = np.where((np.abs(b) <= 1e-9) & (a <= 1e-9), low - 1, high)
        return high - low

    return margin


def double(
    level: float | None,
    barriers: dict[str, tuple[Content, float]],
    U: p.Box = ([-1.0], [1.0]),
    reach: float = 0.5,
    depth: int = 30,
) -> Content:
    """A certificate with the decrease of V at rate 1/10, if a level is given, and barriers with their rates."""
    graphs: Content = {"f": drift(), "g": constant(0.0, 1.0), **{name: h for name, (h, _) in barriers.items()}}
    demands = {name: (rate, 1) for name, (_, rate) in barriers.items()}
    conditions: list[Content] = [{"type": "barrier", "rate": p.number(rate)} for _, rate in barriers.values()]
    inner = None
    if level is not None:
        graphs["V"], demands["V"], inner = crossed(), (0.1, -1), ([-reach, -reach], [reach, reach])
        fall = {"type": "decrease", "equilibrium": ["0", "0"], "rate": "1/10", "level": p.number(level)}
        conditions.insert(0, fall)

    def outside(x: Vector) -> Vector:
        over = [] if level is None else [c.evaluate(graphs["V"], x)[:, 0] - level]
        return np.max([*over, *(-c.evaluate(graphs[name], x)[:, 0] for name in barriers)], axis=0)

    interior = p.grown(*p.corners(SQUARE), {"p": spare(graphs, U, demands), "x": outside}, inner, depth=depth)
    proof: Content = {"interior": interior, "faces": p.sides(SQUARE, p.NONE, lambda i, up: {"x": outside})}
    if inner is not None:
        proof["equilibrium"] = {**p.box(inner), "gain": [["-1/2", "-1"]], "control": ["0"]}
    return p.file("admissible_control", SQUARE, p.NONE, graphs, proof, controls=p.box(U), conditions=conditions)


def shifted() -> Content:
    """x1' = u1 - 1/2, x2' = u2 - x2 with U = [0, 1] x [-1, 1] and V = |x|²: u* = (1/2, 0)."""
    f = p.graph(2, lambda g, x: g.linear(np.diag([0.0, -1.0]), x) - g.constant([0.5, 0.0]))
    graphs = {"f": f, "g": constant(1.0, 0.0, 0.0, 1.0), "V": p.graph(2, lambda g, x: g.sum(g.op("square", x)))}
    X, inner = ([-1.0, -1.0], [1.0, 1.0]), ([-0.25, -0.25], [0.25, 0.25])

    def outside(x: Vector) -> Vector:
        return (x**2).sum(1) - 0.9

    def falls(x: Vector) -> Vector:
        return np.abs(x[:, 0]) + 2 * x[:, 1] ** 2 + 2 * np.abs(x[:, 1]) - 0.5 * (x**2).sum(1)

    proof = {
        "interior": p.grown(*p.corners(X), {"x": outside, "p": falls}, inner),
        "faces": p.sides(X, p.NONE, lambda i, up: {"x": outside}),
        "equilibrium": {**p.box(inner), "gain": [["-1", "0"], ["0", "0"]], "control": ["1/2", "0"]},
    }
    fall = {"type": "decrease", "equilibrium": ["0", "0"], "rate": "1/2", "level": "9/10"}
    U = p.box(([0.0, -1.0], [1.0, 1.0]))
    return p.file("admissible_control", X, p.NONE, graphs, proof, controls=U, conditions=[fall])


def idle() -> Content:
    """x' = -x with a control that may only be 0, and V = |x|²."""
    f, V = c.linear_field(-np.eye(2)), p.graph(2, lambda g, x: g.sum(g.op("square", x)))
    X, U, inner = ([-1.0, -1.0], [1.0, 1.0]), ([0.0], [0.0]), ([-0.25, -0.25], [0.25, 0.25])
    margins = {"x": lambda x: (x**2).sum(1) - 0.9, "p": lambda x: (x**2).sum(1)}
    proof = {
        "interior": p.grown(*p.corners(X), margins, inner),
        "faces": p.sides(X, p.NONE, lambda i, up: {"x": margins["x"]}),
        "equilibrium": {**p.box(inner), "gain": [["0", "0"]], "control": ["0"]},
    }
    fall = {"type": "decrease", "equilibrium": ["0", "0"], "rate": "1", "level": "9/10"}
    graphs = {"f": f, "g": constant(1.0, 0.0), "V": V}
    return p.file("admissible_control", X, p.NONE, graphs, proof, controls=p.box(U), conditions=[fall])


def worn(size: float = 0.25) -> Content:
    """The double integrator under a force (1 + d) u, |d| <= size, with V and the level 1 < 2.31 (3/4)²."""
    D, inner, X = ([-size], [size]), ([-0.5, -0.5], [0.5, 0.5]), SQUARE
    g = p.graph(3, lambda g, z: g.concatenate(g.constant([0.0]), g.constant([1.0]) + z[2]))
    graphs = {"f": p.graph(3, lambda g, z: g.concatenate(z[1], g.constant([0.0]))), "g": g, "V": crossed()}

    def outside(x: Vector) -> Vector:
        return c.evaluate(graphs["V"], x)[:, 0] - 1.0

    margins = {"p": spare(graphs, ([-1.0], [1.0]), {"V": (0.1, -1)}, D), "x": outside}
    proof = {
        "interior": p.grown(*p.corners(X), margins, inner),
        "faces": p.sides(X, p.NONE, lambda i, up: {"x": outside}),
        "equilibrium": {**p.box(inner), "gain": [["-1/2", "-1"]], "control": ["0"]},
    }
    fall = {"type": "decrease", "equilibrium": ["0", "0"], "rate": "1/10", "level": "1"}
    return p.file("admissible_control", X, D, graphs, proof, controls=p.box(([-1.0], [1.0])), conditions=[fall])


def between(size: float, sampled: float) -> Content:
    """x' = d / 2 + u, |d| <= size, to be held in |x| <= 1/8 by two barriers: one u for all d needs |d| < 1/4.

    For each d there is u = -d / 2. The tree is grown for |d| <= sampled.
    """
    X, D, U = ([-1.0], [1.0]), ([-size], [size]), ([-2.0], [2.0])
    walls = [p.graph(1, lambda g, x, s=s: g.constant([0.125]) + g.linear(np.array([[s]]), x)) for s in (1.0, -1.0)]
    f = p.graph(2, lambda g, z: g.linear(np.array([[0.0, 0.5]]), z))
    graphs = {"f": f, "g": p.graph(2, lambda g, z: g.constant([1.0])), "h0": walls[0], "h1": walls[1]}

    def outside(x: Vector) -> Vector:
        return np.abs(x[:, 0]) - 0.125

    demands = {"h0": (1.0, 1), "h1": (1.0, 1)}
    interior = p.grown(*p.corners(X), {"p": spare(graphs, U, demands, ([-sampled], [sampled])), "x": outside})
    proof = {"interior": interior, "faces": p.sides(X, p.NONE, lambda i, up: {"x": outside})}
    barriers = [{"type": "barrier", "rate": "1"}] * 2
    return p.file("admissible_control", X, D, graphs, proof, controls=p.box(U), conditions=barriers)


TRUE: dict[str, Callable[[], Content]] = {
    "disturbed": worn,
    "disturbed barriers": lambda: between(0.2, 0.2),
    "clf": lambda: double(2.0, {}),
    "clf and barrier": lambda: double(2.0, {"h0": (speed(0.75), 1.0)}),
    "barriers": lambda: double(None, {"h0": (crossed(-1.0, 1.0), 1.0), "h1": (speed(0.75), 1.0)}),
    "two controls": shifted,
    "no freedom": idle,
}


@cache
def content(name: str) -> Content:
    return TRUE[name]()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_confirmed(name: str, exact: bool) -> None:
    found = check_bytes(c.sealed(content(name)), exact)
    assert found.status == "confirmed", found.reason
    assert found.leaves > 2 and found.evaluations > 0
    assert "For every state x" in found.statement and "one u in U" in found.statement
    assert ("converges to x*" in found.statement) == ("barriers" not in name)
    assert ("h0" in found.statement) == ("barrier" in name)
    assert ("whatever the disturbance d in D" in found.statement) == ("disturbed" in name)


def condition(place: int, **fields: Any) -> Callable[[Content], Any]:
    return lambda data: data["statement"]["conditions"][place].update(fields)


def equilibrium(**fields: Any) -> Callable[[Content], Any]:
    return lambda data: data["proof"]["equilibrium"].update(fields)


def controls(lower: list[str], upper: list[str]) -> Callable[[Content], Any]:
    return lambda data: data["statement"].update(controls={"lower": lower, "upper": upper})


def proof(**fields: Any) -> Callable[[Content], Any]:
    return lambda data: data["proof"].update(fields)


def graphs(**fields: Any) -> Callable[[Content], Any]:
    return lambda data: data["graphs"].update(copy.deepcopy(fields))


def pole_of(g: c.Builder, x: c.Node, at: float) -> c.Node:
    """((x1 - at) / (x1 - at), 0): 1 but at a line, where it is undefined."""
    away = x[0] - g.constant([at])
    return g.concatenate(away / away, g.constant([0.0]))


def pole(at: float) -> Content:
    return p.graph(2, lambda g, x: pole_of(g, x, at))


CLF = ("clf", "clf and barrier")
EQUILIBRIUM = (*CLF, "two controls", "no freedom")
BARRIERS = ("clf and barrier", "barriers")
ALL = (*EQUILIBRIUM, "barriers")


def disturbances(size: str) -> Callable[[Content], Any]:
    return lambda data: data["statement"].update(disturbance={"lower": ["-" + size], "upper": [size]})


def wavering(n: int) -> Content:
    """f of x and d that reads d where the plant is to rest: (x2, d / 1000), or d / 2 + 8 d^2."""
    if n == 1:
        return p.graph(2, lambda g, z: g.linear([[0.5]], z[1]) + g.linear([[8.0]], g.op("square", z[1])))
    return p.graph(3, lambda g, z: g.linear(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1e-3]]), z))


def two_entries(data: Content) -> None:
    data["statement"]["disturbance"] = p.box(([0.0, 0.0], [0.1, 0.1]))


def tree_over_the_disturbance(data: Content) -> None:
    data["proof"]["interior"] = "C" + 2 * data["proof"]["interior"]


DISTURBED = ("disturbed", "disturbed barriers")
FALSE: list[tuple[tuple[str, ...], str, Callable[[Content], Any]]] = [
    (("disturbed",), "a wider disturbance", disturbances("7/8")),
    (("disturbed",), "a disturbance that turns the control", disturbances("2")),
    (("disturbed barriers",), "a wider disturbance", disturbances("0x1.04p-2")),
    (DISTURBED, "a disturbance of two entries", two_entries),
    (DISTURBED, "no disturbance", lambda data: data["statement"].pop("disturbance")),
    (("disturbed",), "a disturbance at rest", graphs(f=wavering(2))),
    (("disturbed barriers",), "a disturbance that pushes one way", graphs(f=wavering(1))),
    (("disturbed",), "g that reads the state alone", graphs(g=constant(0.0, 1.0))),
    (("disturbed",), "V that reads the disturbance", graphs(V=p.graph(3, lambda g, z: g.sum(g.op("square", z))))),
    (("disturbed",), "level beyond the truth", condition(0, level="131/100")),
    (("disturbed",), "a tree over the disturbance", tree_over_the_disturbance),
    (("clf",), "level above the greatest true one, 2.31", condition(0, level="12/5")),
    (("two controls",), "level beyond the box", condition(0, level="11/10")),
    (EQUILIBRIUM, "level zero", condition(0, level="0")),
    (EQUILIBRIUM, "rate zero", condition(0, rate="0")),
    (EQUILIBRIUM, "rate too large", condition(0, rate="4")),
    (EQUILIBRIUM, "equilibrium moved", condition(0, equilibrium=["1/1000", "0"])),
    (("clf",), "controls too small for the level", controls(["-7/8"], ["7/8"])),
    (CLF, "controls too small for the law", controls(["-5/8"], ["5/8"])),
    (CLF, "controls of one sign", controls(["0"], ["1"])),
    (("two controls",), "controls without the one at rest", controls(["3/4", "-1"], ["1", "1"])),
    (ALL, "controls reversed", controls(["1"], ["-1"])),
    (CLF, "a control more", controls(["-1", "-1"], ["1", "1"])),
    (ALL, "controls without box", lambda data: data["statement"].update(controls=None)),
    (("two controls",), "a gain that stabilises nothing", equilibrium(gain=[["0", "0"], ["0", "0"]])),
    (("clf",), "a gain that stabilises nothing", equilibrium(gain=[["0", "0"]])),
    (("clf",), "a gain that leaves the controls", equilibrium(gain=[["-5", "-10"]])),
    (("clf",), "a gain of another shape", equilibrium(gain=[["-1/2"], ["-1"]])),
    (CLF, "no rest at the equilibrium", equilibrium(control=["1/10"])),
    (("two controls",), "no rest at the equilibrium", equilibrium(control=["1/2", "1/10"])),
    (CLF, "R too large for the law", equilibrium(lower=["-1", "-1"], upper=["1", "1"])),
    (EQUILIBRIUM, "R too small for its leaves", equilibrium(lower=["-1/64", "-1/64"], upper=["1/64", "1/64"])),
    (EQUILIBRIUM, "a block without law", lambda data: data["proof"]["equilibrium"].pop("gain")),
    (EQUILIBRIUM, "no block", lambda data: data["proof"].pop("equilibrium")),
    (("barriers",), "a block too many", proof(equilibrium={})),
    (ALL, "everything excluded", proof(interior="x")),
    (ALL, "everything proved", proof(interior="p")),
    (("barriers",), "everything at rest", proof(interior="e")),
    (ALL, "a leaf of another kind", lambda data: data["proof"].update(interior=data["proof"]["interior"][:-1] + "q")),
    (ALL, "a leaf less", lambda data: data["proof"].update(interior=data["proof"]["interior"][:-1])),
    (ALL, "a face proved", lambda data: data["proof"]["faces"][0].__setitem__(0, "p")),
    (ALL, "a face forgotten", lambda data: data["proof"]["faces"].pop()),
    (("clf and barrier",), "a barrier without rate at rest", condition(1, rate="0")),
    (BARRIERS, "a negative rate", lambda data: data["statement"]["conditions"][-1].update(rate="-1")),
    (("clf and barrier",), "a barrier in conflict", graphs(h0=p.graph(2, lambda g, x: x[1] + g.constant([0.2])))),
    (("barriers",), "a barrier too wide", graphs(h0=crossed(-1.0, 2.9), h1=crossed(-1.0, 2.9))),
    (("barriers",), "a set that meets the faces", graphs(h0=speed(0.75))),
    (("clf and barrier",), "the order of the conditions", lambda data: data["statement"]["conditions"].reverse()),
    (ALL, "no conditions", lambda data: data["statement"].update(conditions=[])),
    (ALL, "a condition without type", condition(0, type=None)),
    (ALL, "a field more", condition(0, margin="1")),
    (EQUILIBRIUM, "V negated", graphs(V=crossed(-1.0))),
    (EQUILIBRIUM, "V above zero at rest", graphs(V=crossed(1.0, 0.01))),
    (("no freedom",), "a control that may only push", controls(["1/2"], ["1/2"])),
    (("no freedom",), "a law that moves", equilibrium(gain=[["-1/8", "0"]])),
    (("no freedom",), "g undefined, where the control is zero", graphs(g=pole(0.5))),
    (("no freedom",), "g undefined at rest", graphs(g=pole(0.0))),
    (("no freedom",), "f undefined", graphs(f=pole(0.5))),
    (("no freedom",), "V undefined", graphs(V=p.graph(2, lambda g, x: g.sum(x * x) * pole_of(g, x, 0.5)[0]))),
    (("two controls",), "a control too many", controls(["0", "-1", "0"], ["1", "1", "0"])),
    (CLF, "f unstable out of reach", graphs(f=c.linear_field(np.array([[0.5, 0.0], [0.0, -1.0]])))),
    (("clf", "barriers"), "g of no effect", graphs(g=constant(0.0, 0.0))),
    (ALL, "g of another size", graphs(g=constant(1.0, 0.0, 0.0))),
    (ALL, "a graph less", lambda data: data["graphs"].pop("g")),
    (ALL, "a graph more", graphs(F=drift())),
    (ALL, "a disturbance", lambda data: data["statement"].update(disturbance=p.box(([0.0], [1.0])))),
]


@pytest.mark.parametrize(("name", "change"), [(name, row[1]) for row in FALSE for name in row[0]])
def test_false_statements_and_false_proofs_are_not_confirmed(name: str, change: str) -> None:
    (edit,) = [edit for names, words, edit in FALSE if words == change and name in names]
    found: CheckReport = check_bytes(c.changed(content(name), edit))
    assert found.status in ("rejected", "unreadable", "undecided"), found
    assert found.reason and "failed" not in found.reason


def forward(reserve: float) -> Content:
    """v + reserve: in conflict with the decrease of V where that wants to brake."""
    return p.graph(2, lambda g, x: x[1] + g.constant([reserve]))


UNTRUE: dict[str, Callable[[], Content]] = {
    "level": lambda: double(2.5, {}, depth=12),
    "conflict": lambda: double(2.0, {"h0": (forward(0.2), 1.0)}, reach=0.25, depth=12),
    "no rate where h is greatest": lambda: double(None, {"h0": (crossed(-1.0, 1.0), 0.0)}, depth=12),
    "small controls": lambda: double(None, {"h0": (crossed(-1.0, 1.0), 1.0)}, ([-0.125], [0.125]), depth=12),
}


@pytest.mark.parametrize("name", UNTRUE)
def test_false_statements_with_the_best_of_trees_are_not_confirmed(name: str) -> None:
    """The tree is grown by the same sampling as that of the true statements, and everything undecided is proved.

    It is grown evenly, to one depth, so that nothing but the false leaves is wrong with it.
    """
    data = UNTRUE[name]()
    assert data["proof"]["interior"].count("p") > 2
    found = check_bytes(c.sealed(data))
    assert found.status in ("rejected", "undecided"), found
    assert "one u in U" in found.reason or "excluded leaf" in found.reason


@pytest.mark.parametrize("sampled", [0.0, 0.2, 0.24])
def test_a_control_for_every_disturbance_is_no_control_for_all(sampled: float) -> None:
    """With |d| <= 3/8 there is a u for each d and none for all of them; the trees are right for fewer."""
    data = between(0.375, sampled)
    found = check_bytes(c.sealed(data))
    assert found.status in ("rejected", "undecided") and "one u in U" in found.reason, found
    for tree in ("p", "ApAApxx", "AAxApAAppxAx"):
        forged = c.changed(data, lambda data, tree=tree: data["proof"].update(interior=tree))
        assert not check_bytes(forged).ok


def wandering(seed: int) -> tuple[Content, bool]:
    """x' = f + g u, random in (x, d), with |u| <= 1 and |d| <= 1/2, to stay in |x| <= 1/2; whether a grid allows it."""
    X, D, U, rng = ([-1.0], [1.0]), ([-0.5], [0.5]), ([-1.0], [1.0]), np.random.default_rng(seed)
    sizes, bends = rng.normal(size=(4, 3)) * [1, 0.5, 0.5], rng.normal(size=(2, 2))

    def random(k: int) -> Content:
        a, b = sizes[k], sizes[2 + k]

        def build(g: c.Builder, z: c.Node) -> c.Node:
            wave = g.op("sin", g.linear(2 * bends[[k]], z))
            return g.constant([k * a[0]]) + g.linear(b[[1, 2]][None], z) + g.linear(a[[1]][None], wave) * z[1]

        return p.graph(2, build)

    h = p.graph(1, lambda g, x: g.constant([0.25]) - g.op("square", x))
    graphs = {"f": random(0), "g": random(1), "h0": h}
    grid = [[d] for d in np.linspace(-0.5, 0.5, 17)]

    def outside(x: Vector) -> Vector:
        return x[:, 0] ** 2 - 0.25

    interior = p.grown(*p.corners(X), {"p": lambda x: common(graphs, U, x, grid), "x": outside}, depth=8)
    proof = {"interior": interior, "faces": p.sides(X, p.NONE, lambda i, up: {"x": outside})}
    barrier = [{"type": "barrier", "rate": "1"}]
    data = p.file("admissible_control", X, D, graphs, proof, controls=p.box(U), conditions=barrier)
    x = np.linspace(-0.5, 0.5, 201)[:, None]
    return data, bool((common(graphs, U, x, grid) >= 0).all())


def common(graphs: Content, U: p.Box, x: Vector, grid: list[list[float]]) -> Vector:
    """The length of the interval of controls that h0 with rate 1 leaves for all of these disturbances."""
    low, high = (np.full(len(x), end[0]) for end in U)
    slope = c.gradient(graphs["h0"], x)[:, 0]
    for d in grid:
        z = np.hstack([x, np.tile(d, (len(x), 1))])
        a = slope * c.evaluate(graphs["f"], z)[:, 0] + c.evaluate(graphs["h0"], x)[:, 0]
        b = slope * c.evaluate(graphs["g"], z)[:, 0]
        low, high = np.where(b > 0, np.maximum(low, -a / b), low), np.where(b < 0, np.minimum(high, -a / b), high)
        high = np.where((b == 0) & (a <= 0), -np.inf, high)
    return high - low


def test_random_plants_are_confirmed_only_with_a_control_in_common() -> None:
    counts = {False: 0, True: 0}
    for seed in range(14):
        data, allowed = wandering(seed)
        ok = check_bytes(c.sealed(data)).ok
        counts[ok] += 1
        assert allowed or not ok, seed
    assert min(counts.values()) > 2, counts


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_throughout_is_kept_for_sampled_disturbances(seed: int) -> None:
    n, k, m = 2, 2, 2
    (f, g), v = random_plant(n + k, m, seed, c.UNARY + c.BINARY)[1], c.random_graph(n, 900 + seed, c.SMOOTH)
    f = {"nodes": [*f["nodes"], ["take", [f["output"]], [0, 1]]], "output": len(f["nodes"])}
    g = {"nodes": [*g["nodes"], ["take", [g["output"]], [0, 1, 2, 3]]], "output": len(g["nodes"])}
    rng = np.random.default_rng(seed)
    U, D = Interval(-np.ones(m), np.ones(m)), Interval(np.full((1, k), -0.5), np.full((1, k), 0.5))
    plant = Plant(ready(f, n + k), ready(g, n + k), U, D)
    centre = rng.normal(size=(40, n))
    box, u = Interval(centre - 0.02, centre + 0.02), rng.uniform(-1, 1, (40, m))
    rate = Interval(np.array([0.5]), np.array([0.5]))
    shares: list[float] = []
    for sign in (1, -1):
        proved, doubt = throughout(plant, [Condition(ready(v, n), rate, sign)], box, u)
        assert doubt.shape == (40, n)
        shares.append(proved.mean())
        for _ in range(20):
            x, d = centre + 0.02 * rng.uniform(-1, 1, centre.shape), rng.uniform(-0.5, 0.5, (40, k))
            z = np.hstack([x, d])
            field = c.evaluate(f, z) + (c.evaluate(g, z).reshape(-1, n, m) * u[:, None]).sum(2)
            slope, value = c.gradient(v, x), c.evaluate(v, x)[:, 0]
            margin, size = sign * ((slope * field).sum(1) + 0.5 * value), np.abs(slope * field).sum(1) + np.abs(value)
            assert (~proved | (margin > -1e-4 * size)).all()
    assert max(shares) > 0.2


def test_a_disturbance_that_bends_is_taken_in_parts() -> None:
    """x' = (x + u) / (1 + d), |d| <= 1/2, with V = x², the rate 1 and |u| <= 1: |x| (1 + (1 + d) / 2) < 1."""
    X, D, inner, U = ([-1.0], [1.0]), ([-0.5], [0.5]), ([-0.25], [0.25]), ([-1.0], [1.0])
    f = p.graph(2, lambda g, z: z[0] / (g.constant([1.0]) + z[1]))
    push = p.graph(2, lambda g, z: g.constant([1.0]) / (g.constant([1.0]) + z[1]))
    graphs = {"f": f, "g": push, "V": p.graph(1, lambda g, x: g.op("square", x))}

    def outside(x: Vector) -> Vector:
        return x[:, 0] ** 2 - 0.3

    interior = p.grown(*p.corners(X), {"x": outside, "p": spare(graphs, U, {"V": (1.0, -1)}, D)}, inner)
    proof = {
        "interior": interior, "faces": p.sides(X, p.NONE, lambda i, up: {"x": outside}),
        "equilibrium": {**p.box(inner), "gain": [["-3"]], "control": ["0"]},
    }  # fmt: skip
    fall = {"type": "decrease", "equilibrium": ["0"], "rate": "1", "level": "3/10"}
    data = p.file("admissible_control", X, D, graphs, proof, controls=p.box(U), conditions=[fall])
    assert check_bytes(c.sealed(data)).ok
    for level in ("33/100", "1/3"):  # beyond (4/7)²
        false = c.changed(data, lambda data, level=level: data["statement"]["conditions"][0].update(level=level))
        assert not check_bytes(false).ok


def test_a_state_that_no_control_saves_is_named() -> None:
    found = check_bytes(c.changed(content("barriers"), controls(["-1/8"], ["1/8"])))
    assert found.status == "rejected" and "false at x" in found.reason


# ---- the parts ------------------------------------------------------------------------------------------------------


def ready(graph: Content, n: int) -> Evaluator:
    return Evaluator(read_graph(graph, n, "f"), n)


def joined(n: int, graphs: list[Content]) -> Content:
    """Several graphs of the same n inputs side by side."""
    nodes: list[Any] = [["input", [], n]]
    outputs = []
    for graph in graphs:
        shift = len(nodes)
        for operation, ids, attribute in graph["nodes"]:
            ids = [shift + i for i in ids]
            nodes.append(["take", [0], list(range(n))] if operation == "input" else [operation, ids, attribute])
        outputs.append(shift + graph["output"])
    nodes.append(["concatenate", outputs, None])
    return {"nodes": nodes, "output": len(nodes) - 1}


def random_plant(n: int, m: int, seed: int, names: list[str]) -> tuple[Plant, list[Content]]:
    f, g = (joined(n, [c.random_graph(n, 50 * seed + k, names) for k in ks]) for ks in (range(n), range(n, n + n * m)))
    rng = np.random.default_rng(seed)
    low = rng.normal(size=m)
    return Plant(ready(f, n), ready(g, n), Interval(low, low + rng.random(m))), [f, g]


@pytest.mark.parametrize("seed", range(6))
def test_the_field_under_a_law_holds_its_values_and_slopes(seed: int) -> None:
    n, m = 3, 2
    plant, (f, g) = random_plant(n, m, seed, c.SMOOTH)
    rng = np.random.default_rng(seed)
    gain, rest, at = rng.normal(size=(m, n)), rng.normal(size=m), rng.normal(size=n)
    control = law(*(Interval(a, a) for a in (gain, rest, at)))
    centre, half = rng.normal(size=(8, n)), 0.02 * rng.random((8, n))
    jets = driven(plant, control)(Interval(centre - half, centre + half), 1)

    def field(x: Vector) -> Vector:
        u = rest + (x - at) @ gain.T
        return c.evaluate(f, x) + (c.evaluate(g, x).reshape(-1, n, m) * u[:, None]).sum(2)

    for _ in range(20):
        x = centre + half * rng.uniform(-1, 1, size=half.shape)
        y = field(x)
        assert (np.isnan(jets.lo[0]) | ((jets.lo[0] <= y + 1e-9) & (y - 1e-9 <= jets.hi[0]))).all()
        for k in range(n):
            shift = 1e-6 * np.eye(n)[k]
            slope = (field(x + shift) - field(x - shift)) / 2e-6
            slack = 1e-4 * (1 + np.abs(slope))
            inside = (jets.lo[1 + k] <= slope + slack) & (slope - slack <= jets.hi[1 + k])
            assert (np.isnan(jets.lo[1 + k]) | inside).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_control_chosen_is_admissible_and_hopeless_is_true(seed: int) -> None:
    """Random functions with kinks and undefined places: what is called hopeless is so for sampled controls."""
    n, m = 2, 2
    plant, (f, g) = random_plant(n, m, seed, c.UNARY + c.BINARY)
    v = c.random_graph(n, 1000 + seed, c.SMOOTH)
    rate = Interval(np.array([0.5]), np.array([0.5]))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, n))
    for sign in (1, -1):
        u, hopeless = chosen(plant, [Condition(ready(v, n), rate, sign)], Interval(x, x))
        assert ((u >= plant.U.lo) & (u <= plant.U.hi)).all()
        slope, value = c.gradient(v, x), c.evaluate(v, x)[:, 0]
        for share in [*np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), *rng.random((20, m))]:
            w = plant.U.lo + share * (plant.U.hi - plant.U.lo)
            field = c.evaluate(f, x) + (c.evaluate(g, x).reshape(-1, n, m) * w).sum(2)
            margin = sign * ((slope * field).sum(1) + 0.5 * value)
            size = np.abs(slope * field).sum(1) + np.abs(value)
            assert (~hopeless | np.isnan(margin) | (margin <= 1e-4 * size)).all()


WIDTHS = [(0.0, 5e-324), (-5e-324, -5e-324), (1e308, 1.7e308), (-1.7e308, 1.7e308), (1.0, 1.0 + 2**-52), (0.1, 0.3)]


@pytest.mark.parametrize(("low", "high"), WIDTHS)
def test_whatever_control_is_chosen_it_is_admissible(low: float, high: float) -> None:
    """Boxes of which halves and differences under- or overflow; an undefined control proves nothing."""
    V = ready(p.graph(1, lambda g, x: g.op("square", x)), 1)
    f, g = (ready(p.graph(1, lambda g, x, s=s: g.linear(np.array([[s]]), x)), 1) for s in (-1.0, 1.0))
    x = np.linspace(-3, 3, 31)[:, None]
    rate = Interval(np.array([0.1]), np.array([0.1]))
    u, _ = chosen(Plant(f, g, Interval(np.array([low]), np.array([high]))), [Condition(V, rate, -1)], Interval(x, x))
    assert (np.isnan(u) | ((low <= u) & (u <= high))).all()
    assert low < -1e308 or not np.isnan(u).any()


def test_one_of_many_controls_is_found_near_the_best() -> None:
    """x' = u in the plane, V = |x|² falls fastest, and relative to its size best, for u against x."""
    V = ready(p.graph(2, lambda g, x: g.sum(g.op("square", x))), 2)
    plant = Plant(
        ready(constant(0.0, 0.0), 2), ready(constant(1.0, 0.0, 0.0, 1.0), 2), Interval(-np.ones(2), np.ones(2))
    )
    angle = np.linspace(0, 2 * np.pi, 64)[:-1]
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    rate = Interval(np.array([0.1]), np.array([0.1]))
    u, hopeless = chosen(plant, [Condition(V, rate, -1)], Interval(x, x))
    assert not hopeless.any()
    assert np.allclose(-(x * u).sum(1), np.abs(x).sum(1), atol=1e-3)
    still = driven(plant, held(u, 2))(Interval(x, x), 1)
    assert np.allclose(still.lo[0], u) and np.allclose(still.hi[1:], 0.0)
