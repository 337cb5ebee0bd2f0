"""Exponential stability: true statements are confirmed, false ones never, whatever their hash says."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import certificates as c
import numpy as np
import pytest
from certificates import Content

from ctrlnet.checker import CheckReport, check_bytes


def eye(scale: float = 1.0) -> Content:
    return c.quadratic(scale * np.eye(2))


def shifted_spiral() -> Content:
    """The spiral about (1/4, -1/2), V = |x - x*|^2."""
    g = c.Builder(2)
    F = g.output(g.linear(np.array([[-1.0, 2.0], [-2.0, -1.0]]), g.input() - g.constant([0.25, -0.5])))
    box = ([-0.75, -1.5], [1.25, 0.5])
    return c.stability(
        c.quadratic(np.eye(2), [0.25, -0.5]), F, box, rate=1.0, level=0.8, inner=0.125, at=["1/4", "-1/2"]
    )


def saturated_relu() -> Content:
    """x' = u, u = clamp of a relu policy that equals -x near 0 with kinks at +-1/2, V = x^2."""
    g = c.Builder(1)
    x = g.input()
    left, right = g.op("relu", x + g.constant([0.5])), g.op("relu", x - g.constant([0.5]))
    u = g.op("maximum", g.op("minimum", g.constant([0.5]) - left + right, g.constant([1.0])), g.constant([-1.0]))
    return c.stability(c.quadratic(np.eye(1)), g.output(u), ([-2.0], [2.0]), rate=0.25, level=1.5, inner=0.25)


def kink_in_V() -> Content:
    """V = x^2 + relu(x - 1/2) + relu(-x - 1/2), F = -x: Clarke's gradients on the kinks of V."""
    v = c.Builder(1)
    x = v.input()
    half = v.constant([0.5])
    V = v.output(v.op("square", x) + v.op("relu", x - half) + v.op("relu", -x - half))
    return c.stability(V, c.linear_field(-np.eye(1)), ([-1.0], [1.0]), rate=0.5, level=1.25, inner=0.25)


TRUE: dict[str, Callable[[], Content]] = {
    "spiral": c.spiral,
    "shifted spiral": shifted_spiral,
    "damped pendulum": c.damped_pendulum,
    "saturated relu": saturated_relu,
    "kink in V": kink_in_V,
    "neural pendulum": lambda: c.neural_pendulum(6),
    "relu pendulum": lambda: c.neural_pendulum(4, "relu"),
}


@cache
def content(name: str) -> Content:
    return TRUE[name]()


def report(data: Content, exact: bool = False) -> CheckReport:
    return check_bytes(c.sealed(data), exact)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_confirmed(name: str, exact: bool) -> None:
    found = report(content(name), exact)
    assert found.status == "confirmed" and found.ok and found.exit_code == 0, found.reason
    assert found.leaves > 2 and found.evaluations > 0
    assert "For every state x(0)" in found.statement
    assert any("real arithmetic" in text for text in found.assumptions)
    assert any("numpy" in text and "units in the last place" in text for text in found.assumptions) != exact
    assert "the tests" in found.provenance and "CONFIRMED" in str(found)


def edited(name: str, edit: Callable[[Content], Any]) -> CheckReport:
    return check_bytes(c.changed(content(name), edit))


def negated(graph: Content) -> None:
    graph["nodes"].append(["neg", [graph["output"]], None])
    graph["output"] = len(graph["nodes"]) - 1


def moved(graph: Content, by: float, size: int) -> None:
    graph["nodes"] += [
        ["constant", [], c.array([by] + [0.0] * (size - 1))],
        ["add", [graph["output"], len(graph["nodes"])], None],
    ]
    graph["output"] = len(graph["nodes"]) - 1


FALSE: dict[str, Callable[[Content], Any]] = {
    "V < 0": lambda d: negated(d["graphs"]["V"]),
    "F backwards": lambda d: negated(d["graphs"]["F"]),
    "F moved by 1e-9": lambda d: moved(d["graphs"]["F"], 1e-9, 2),
    "F moved by 5e-324": lambda d: moved(d["graphs"]["F"], 5e-324, 2),
    "V moved by 1e-9": lambda d: moved(d["graphs"]["V"], 1e-9, 1),
    "V moved by -1e-300": lambda d: moved(d["graphs"]["V"], -1e-300, 1),
    "level beyond the box": lambda d: d["statement"].update(level="7"),
    "level negative": lambda d: d["statement"].update(level="-1"),
    "level zero": lambda d: d["statement"].update(level="0"),
    "rate a thousand times": lambda d: d["statement"].update(
        rate=c.numbers([1000 * float.fromhex(d["statement"]["rate"])])[0]
    ),
    "rate zero": lambda d: d["statement"].update(rate="0"),
    "rate negative": lambda d: d["statement"].update(rate="-1"),
    "equilibrium moved": lambda d: d["statement"].update(equilibrium=["1/1000000000000", "0"]),
    "V = 1": lambda d: d["graphs"].update(V={"nodes": [["constant", [], c.array([1.0])]], "output": 0}),
    "F = 0": lambda d: d["graphs"].update(F={"nodes": [["constant", [], c.array([0.0, 0.0])]], "output": 0}),
    "R empty of the equilibrium": lambda d: d["proof"]["equilibrium"].update(lower=c.numbers([0.01, 0.01])),
    "R beyond the box": lambda d: d["proof"]["equilibrium"].update(upper=c.numbers([100.0, 100.0])),
    "everything proved": lambda d: d["proof"].update(interior="p"),
    "everything excluded": lambda d: d["proof"].update(interior="x"),
    "everything at the equilibrium": lambda d: d["proof"].update(interior="e"),
    "one subtree less": lambda d: d["proof"].update(interior=d["proof"]["interior"][:-1]),
    "one leaf more": lambda d: d["proof"].update(interior=d["proof"]["interior"] + "p"),
    "faces of kind p": lambda d: d["proof"]["faces"][0].__setitem__(0, "p"),
    "a face split across": lambda d: d["proof"]["faces"][0].__setitem__(0, "Axx"),
    "faces of one dimension": lambda d: d["proof"]["faces"].pop(),
    "a face of three": lambda d: d["proof"]["faces"][0].append("x"),
}


@pytest.mark.parametrize("change", FALSE)
@pytest.mark.parametrize("name", ["spiral", "damped pendulum", "neural pendulum"])
def test_false_statements_and_false_proofs_are_rejected(name: str, change: str) -> None:
    found = edited(name, FALSE[change])
    assert found.status in ("rejected", "unreadable") and found.exit_code in (1, 2), found
    assert found.reason and "failed" not in found.reason


def test_a_hole_in_the_level_set_is_found() -> None:
    """V = |x|^2 (1 - 0.99 exp(-40 |x - c|^2)) dips at c = (0.9, 0.9), far from x*: a second part of {V <= level}."""
    v = c.Builder(2)
    x = v.input()
    dip = v.op("exp", v.linear(np.array([[-40.0]]), v.sum(v.op("square", x - v.constant([0.9, 0.9])))))
    V = v.output(v.sum(v.op("square", x)) * (v.constant([1.0]) - v.linear(np.array([[0.99]]), dip)))
    found = check_bytes(c.changed(content("spiral"), lambda d: d["graphs"].update(V=V)))
    assert found.status == "rejected" and "false at x" in found.reason


def test_instability_hidden_in_a_small_place_is_found() -> None:
    """F is -x but for a bump of width 1e-3 that pushes outward."""
    g = c.Builder(2)
    x = g.input()
    bump = g.op("exp", g.linear(np.array([[-1e6]]), g.sum(g.op("square", x - g.constant([0.3, 0.3])))))
    F = g.output(-x + x * (g.linear(np.full((2, 1), 2.0), bump)))
    found = check_bytes(c.changed(content("spiral"), lambda d: d["graphs"].update(F=F)))
    assert found.status == "rejected" and found.reason


def kinked_field(gain: float) -> Content:
    """x' = -x + gain |x|, stable exactly for |gain| < 1; V = x^2."""
    g = c.Builder(1)
    x = g.input()
    F = g.output(-x + g.linear(np.array([[gain]]), g.op("abs", x)))
    data = c.stability(
        c.quadratic(np.eye(1)), c.linear_field(-np.eye(1)), ([-1.0], [1.0]), rate=0.25, level=0.5, inner=0.25
    )
    data["graphs"]["F"] = F
    return data


def test_a_kink_of_the_field_at_the_equilibrium_takes_both_sides() -> None:
    assert report(kinked_field(0.75)).ok
    assert report(kinked_field(1.0)).status == "rejected"
    assert report(kinked_field(1.5)).status == "rejected"


def test_a_kink_of_V_at_the_equilibrium_is_rejected() -> None:
    g = c.Builder(2)
    V = g.output(g.sum(g.op("abs", g.input())))
    found = check_bytes(c.changed(content("spiral"), lambda d: d["graphs"].update(V=V)))
    assert found.status == "rejected" and "kink" in found.reason


def test_a_field_that_is_only_rounded_to_zero_at_its_equilibrium_is_refused_with_advice() -> None:
    g = c.Builder(1)
    x = g.input()
    F = g.output(g.op("sin", x))
    at = float(np.pi)
    V = c.quadratic(np.eye(1), [at])
    data = c.stability(V, F, ([2.0], [4.0]), rate=0.1, level=0.5, inner=0.25, at=[str(Fraction(at))])
    found = report(data)
    assert found.status == "rejected" and "shifted" in found.reason


def test_an_undefined_field_is_not_confirmed() -> None:
    """F = -x + 1/z - 1/z with z identically 0 at run time, opaque to the exact evaluation."""
    g = c.Builder(2)
    x = g.input()
    z = g.op("sin", g.constant([1.0, 1.0])) * g.op("cos", g.constant([1.0, 1.0]))
    z = z - g.linear(0.5 * np.eye(2), g.op("sin", g.constant([2.0, 2.0])))  # sin 1 cos 1 - sin 2 / 2 = 0
    bad = g.constant([1.0, 1.0]) / z
    F = g.output(-x + bad - bad)
    assert not check_bytes(c.changed(content("spiral"), lambda d: d["graphs"].update(F=F))).ok


def test_the_effort_is_bounded_and_the_leaf_named() -> None:
    found = report(c.touching())
    assert found.status == "undecided" and found.exit_code == 3 and "leaf at place" in found.reason
    assert found.evaluations <= 64 * found.leaves + 4096 + 2**17


def falsehood(data: Content) -> str:
    """What dense sampling finds false in the statement, or in the claim of a leaf; '' when nothing."""
    statement, V, F = data["statement"], data["graphs"]["V"], data["graphs"]["F"]
    lower, upper = (np.array([float.fromhex(v) for v in statement["box"][k]]) for k in ("lower", "upper"))
    level, rate = float.fromhex(statement["level"]), float.fromhex(statement["rate"])
    x = np.random.default_rng(0).uniform(lower, upper, (20000, len(lower)))
    v = c.evaluate(V, x)[:, 0]
    g = (c.gradient(V, x) * c.evaluate(F, x)).sum(1) + rate * v
    if ((g > 1e-6) & (v <= level)).any() or (v < 0).any():
        return "interior"
    for i in range(len(lower)):
        for side in (lower, upper):
            y = x.copy()
            y[:, i] = side[i]
            if c.evaluate(V, y).min() <= level:
                return "faces"
    return leaf_falsehood(data, x, v, g, level, lower, upper)


def leaf_falsehood(
    data: Content, x: np.ndarray, v: np.ndarray, g: np.ndarray, level: float, lower: np.ndarray, upper: np.ndarray
) -> str:
    corners = [np.array([float.fromhex(w) for w in data["proof"]["equilibrium"][k]]) for k in ("lower", "upper")]
    tree = data["proof"]["interior"]

    def walk(place: int, lo: np.ndarray, hi: np.ndarray) -> tuple[int, bool]:
        letter = tree[place]
        if letter.islower():
            inside = ((lo <= x) & (x <= hi)).all(1)
            wrong = {
                "p": bool(((g > 1e-6) | (v <= 0))[inside].any()) or bool(((lo <= 0) & (hi >= 0)).all()),
                "x": bool((v <= level)[inside].any()),
                "e": bool((lo < corners[0]).any() or (hi > corners[1]).any()),
            }
            return place + 1, wrong[letter]
        i = ord(letter) - 65
        middle = 0.5 * lo[i] + 0.5 * hi[i]
        low, high = lo.copy(), hi.copy()
        low[i] = high[i] = middle
        place, first = walk(place + 1, lo, high)
        place, second = walk(place, low, hi)
        return place, first or second

    try:
        return "leaf" if walk(0, lower, upper)[1] else ""
    except IndexError:
        return "tree"


def subtree_end(tree: str, start: int) -> int:
    open_places = 1
    while open_places:
        open_places += 1 if tree[start].isupper() else -1
        start += 1
    return start


def mutate(data: Content, rng: random.Random) -> str:
    """One random change that keeps the file well formed, or drops a part of its tree."""
    kind = rng.choice(["level", "rate", "leaf", "drop", "prune", "sign", "weight", "swap"])
    statement, proof = data["statement"], data["proof"]
    tree, name = proof["interior"], rng.choice(["V", "F"])
    place = rng.randrange(len(tree))
    if kind in ("level", "rate"):
        statement[kind] = (float.fromhex(statement[kind]) * rng.choice([1.05, 1.5, 2.0, 4.0, 10.0])).hex()
    elif kind == "leaf":
        place = rng.choice([i for i, letter in enumerate(tree) if letter.islower()])
        proof["interior"] = tree[:place] + rng.choice("pxe".replace(tree[place], "")) + tree[place + 1 :]
    elif kind in ("drop", "prune"):
        proof["interior"] = (
            tree[:place] + rng.choice("pxe" if kind == "prune" else [""]) + tree[subtree_end(tree, place) :]
        )
    elif kind == "sign":
        negated(data["graphs"][name])
    elif kind == "swap":
        data["graphs"][name] = copy.deepcopy(
            content(rng.choice(["spiral", "damped pendulum", "neural pendulum"]))["graphs"][name]
        )
    else:
        nodes = [
            node for graph in data["graphs"].values() for node in graph["nodes"] if node[0] in ("linear", "constant")
        ]
        node = rng.choice([node for node in nodes if node[0] == "linear" or "f8" in node[2]])
        values = c.decoded(node[2]["weight"] if node[0] == "linear" else node[2]).copy()
        values[rng.randrange(len(values))] *= rng.choice([-1.0, 0.0, 3.0, -10.0])
        encoded = c.array(values)
        node[2] = {**node[2], "weight": encoded} if node[0] == "linear" else encoded
    return kind


def test_hundreds_of_mutations_with_hashes_recomputed_are_never_confirmed_when_false() -> None:
    rng, false, verdicts = random.Random(7), Counter[str](), Counter[str]()
    while sum(false.values()) < 240:
        data = copy.deepcopy(content(rng.choice(["spiral", "damped pendulum", "neural pendulum"])))
        kind = mutate(data, rng)
        wrong = falsehood(data)
        if wrong:
            found = report(data)
            assert not found.ok, f"{kind}: {wrong} is false, yet confirmed"
            false[kind] += 1
            verdicts[found.status] += 1
    assert min(false[k] for k in ("level", "rate", "leaf", "drop", "prune", "sign", "weight", "swap")) > 5, false
    assert verdicts["rejected"] > 0.97 * sum(verdicts.values()), verdicts
