"""Certificates of false statements, made by hand, with whatever proof bounds that were too narrow would let pass."""

from __future__ import annotations

from typing import Any

import pytest

from ctrlnet.checker import check_bytes
from tests.prover.attack import Document, violation
from tests.prover.mutations import rehashed

INPUT: list[Any] = ["input", [], 1]
PLANE: list[Any] = ["input", [], 2]


def constant(value: str) -> list[Any]:
    return ["constant", [], {"q": [value]}]


def box(*sizes: str) -> Document:
    return {"lower": [f"-{size}" for size in sizes], "upper": list(sizes)}


def graph(*nodes: list[Any]) -> Document:
    return {"nodes": list(nodes), "output": len(nodes) - 1}


LESS_A_KINK = graph(
    INPUT,
    constant("1/10"),
    ["concatenate", [0, 1], None],
    ["norm", [2], 1],
    ["sub", [3, 1], None],
    constant("1/2"),
    ["abs", [0], None],
    ["mul", [5, 6], None],
    ["sub", [4, 7], None],
)
"""V = √(x² + 1/100) - 1/10 - |x|/2, which is negative for 0 < |x| < 2/15. On the rays from 0 one part of the vector
(x, 1/10) is homogeneous and the other is not: it turns along the ray."""
RAYS = {**box("1"), "rays": [["p", "p"]]}

HALF = graph(PLANE, constant("1/2"), ["take", [0], [0]], ["sub", [1, 2], None])
"""h = 1/2 - x₁."""
UNDEFINED = graph(
    PLANE,
    ["neg", [0], None],
    ["take", [0], [1]],
    ["square", [2], None],
    constant("1/16"),
    ["sub", [3, 4], None],
    ["sqrt", [5], None],
    constant("0"),
    ["mul", [6, 7], None],
    ["concatenate", [7, 8], None],
    ["add", [1, 9], None],
)
"""x' = -x + (0, 0 √(x₂² - 1/16)): where |x₂| < 1/4 there is no field, so solutions end there."""
INWARD = [["p", "x"], ["p", "p"]]

STRENGTH = graph(["input", [], 3], ["take", [0], [1]], ["take", [0], [2]], ["mul", [1, 2], None])
"""x' = d u: with u = -x(0), x(T) = (1 - T m) x(0) for the mean m of d(t)."""

FORGED: dict[str, Document] = {
    "a held control that is too strong at one end of the disturbance": {
        "statement": {
            "kind": "sampled_stability",
            "box": box("1"),
            "disturbance": {"lower": ["1/2"], "upper": ["9/2"]},
            "equilibrium": ["0"],
            "period": "1/2",
            "rate": "1/2",
            "level": "7/8",
        },
        "graphs": {"V": graph(INPUT, ["square", [0], None]), "f": STRENGTH, "policy": graph(INPUT, ["neg", [0], None])},
        "proof": {"equilibrium": box("1/2"), "interior": "AApeAep"},
    },
    "a norm of which one part alone vanishes at the equilibrium": {
        "statement": {
            "kind": "exponential_stability",
            "box": box("2"),
            "equilibrium": ["0"],
            "rate": "1/100",
            "level": "9/25",
        },
        "graphs": {"V": LESS_A_KINK, "F": graph(INPUT, ["neg", [0], None])},
        "proof": {"equilibrium": RAYS, "interior": "AAxeAex", "faces": [["x", "x"]]},
    },
    "the same in discrete time": {
        "statement": {
            "kind": "discrete_decrease",
            "box": box("2"),
            "equilibrium": ["0"],
            "kappa": "1/100",
            "level": "9/25",
        },
        "graphs": {"V": LESS_A_KINK, "F": graph(INPUT, constant("1/2"), ["mul", [0, 1], None])},
        "proof": {"equilibrium": RAYS, "interior": "AAxeAex"},
    },
    "a barrier for ever, under a field that is undefined in an entry that h does not depend on": {
        "statement": {"kind": "barrier_invariance", "box": box("1", "1"), "rate": "1"},
        "graphs": {"h": HALF, "F": UNDEFINED},
        "proof": {"interior": "p", "faces": INWARD},
    },
    "the same of high order": {
        "statement": {"kind": "high_order_invariance", "box": box("1", "1"), "rates": ["1", "1"]},
        "graphs": {"h": HALF, "F": UNDEFINED},
        "proof": {"interior": "p", "faces": INWARD},
    },
}


@pytest.mark.parametrize("name", FORGED)
def test_no_forged_certificate_is_confirmed(name: str) -> None:
    document = FORGED[name]
    assert violation(document, 0) is not None  # false indeed
    report = check_bytes(rehashed({**document, "assumptions": [], "provenance": None}))
    assert report.status in ("rejected", "undecided"), report


@pytest.mark.parametrize(
    ("factor", "entry"),
    [("log", "d"), ("sqrt", "d"), ("reciprocal", "d"), ("log", "number"), ("sqrt", "number")],
)
def test_a_choice_by_what_is_no_number_has_no_value(factor: str, entry: str) -> None:
    """x' = select(c, -x, -2x), V = |x|, where c = x φ(d) is no number for d <= 0, and that of x φ(-sin 1) at no x."""
    of = [["take", [0], [1]]] if entry == "d" else [constant("1"), ["sin", [1], None], ["neg", [2], None]]
    x = len(of) + 1
    nodes = [PLANE if entry == "d" else INPUT, *of, ["take", [0], [0]]]
    scale = ["div", [x, x - 1], None] if factor == "reciprocal" else [factor, [x - 1], None]
    nodes += [scale, ["mul", [x, x + 1], None] if factor != "reciprocal" else ["neg", [x + 1], None]]
    nodes += [["neg", [x], None], ["add", [x + 3, x + 3], None], ["select", [x + 2, x + 3, x + 4], None]]
    document: Document = {
        "statement": {
            "kind": "exponential_stability",
            "box": box("1"),
            "equilibrium": ["0"],
            "rate": "1/10",
            "level": "1/2",
        },
        "graphs": {"V": graph(INPUT, ["abs", [0], None]), "F": graph(*nodes)},
        "proof": {"equilibrium": RAYS, "interior": "e", "faces": [["x", "x"]]},
    }
    if entry == "d":
        document["statement"]["disturbance"] = box("1")
    report = check_bytes(rehashed({**document, "assumptions": [], "provenance": None}))
    assert report.status in ("rejected", "undecided") and "unreadable" not in report.reason, report
