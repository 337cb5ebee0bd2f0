"""The checker along rays: its enclosures hold every quotient and motion, and no false or damaged proof is confirmed."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import certificates as c
import numpy as np
import proofs
import pytest
import torch
from kinked import FALSE, TRUE

from ctrlnet.checker import check_bytes
from ctrlnet.checker.affine import nothing, span
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.quotients import Rays
from ctrlnet.checker.report import Rejected, Unconfirmed
from ctrlnet.graph import PRIMITIVES, Graph, evaluate, gradient, inner_product
from ctrlnet.prover.certificate import graph_document

ABOUT, LOWER, UPPER = np.array([0.25, -0.5]), np.array([-0.05, -0.9, 0.5]), np.array([0.55, -0.1, 1.5])
AT = (Fraction(1, 4), Fraction(-1, 2))
SMOOTH = ("sin", "cos", "exp", "tanh", "square", "atan", "softplus", "erf")


def nodes_of(graph: Graph) -> dict[str, int]:
    """Functions of (x₁, x₂, d) of every kind, by name, with kinks through x*, beside it, and away from it."""
    x, d = graph.take(graph.input, [0, 1]), graph.take(graph.input, [2, 2])
    e = graph.binary("sub", x, graph.constant(list(AT)))
    far, swapped = graph.constant([3, 3]), graph.take(e, [1, 0])
    near = graph.binary("sub", e, graph.constant([Fraction(1, 10), Fraction(-1, 10)]))
    scaled = graph.binary("mul", d, e)
    nodes = {name: graph.unary(name, x) for name in (*SMOOTH, "relu", "abs") if name in PRIMITIVES}
    nodes |= {f"{name} through x*": graph.unary(name, e) for name in ("relu", "abs", "sin", "square")}
    nodes |= {f"{name} beside x*": graph.unary(name, near) for name in ("relu", "abs")}
    nodes |= {f"{name} of d e": graph.unary(name, scaled) for name in ("relu", "abs", "sin")}
    nodes |= {f"{name} shifted": graph.unary(name, graph.binary("add", x, far)) for name in ("sqrt", "log")}
    nodes |= {f"{name} through x*": graph.binary(name, e, swapped) for name in ("maximum", "minimum", "mul")}
    nodes |= {f"{name} away": graph.binary(name, x, far) for name in ("maximum", "minimum", "div")}
    nodes |= {f"{name} beside": graph.binary(name, x, near) for name in ("maximum", "minimum")}
    nodes["power"] = graph.power(x, 3)
    nodes["norm through x*"], nodes["norm beside"] = graph.norm(e, 1), graph.norm(graph.binary("add", x, far), 1)
    nodes["select decided"] = graph.select(graph.binary("add", x, far), graph.unary("sin", x), e)
    nodes["div by d"] = graph.binary("div", graph.unary("exp", e), d)
    kinks = graph.linear(
        graph.unary("relu", graph.linear(e, np.array([[1.0, -2], [0.5, 1], [-1, 0]]))), np.ones((2, 3))
    )
    nodes["network"] = graph.unary("relu", graph.binary("add", kinks, graph.constant([Fraction(-1, 3), 0])))
    return nodes


def leaf_boxes(rng: np.random.Generator, count: int) -> Interval:
    """Random boxes on the faces of R, times D."""
    ends = LOWER + (UPPER - LOWER) * rng.random((2, count, 3))
    lower, upper = ends.min(0), ends.max(0)
    narrow = np.arange(count) % 3 == 0
    upper[narrow] = lower[narrow] + 0.02 * (upper - lower)[narrow]
    for box in range(count):
        axis, side = box % 2, (LOWER, UPPER)[box // 2 % 2]
        lower[box, axis] = upper[box, axis] = side[axis]
    return Interval(lower, upper)


@pytest.mark.parametrize("name", nodes_of(Graph(3)))
def test_quotients_and_motions_are_enclosed(name: str) -> None:
    graph, rng, direction = Graph(3), np.random.default_rng(0), np.array([0.7, -0.4, 0.0])
    node = nodes_of(graph)[name]
    function = Evaluator(read_graph(json.loads(json.dumps(graph_document(graph, node))), 3, "f"), 3)
    rays, box = Rays(AT, [function]), leaf_boxes(rng, 18)
    base, e = rays.state(box)
    motion = nothing(e)
    motion.lo[0] = motion.hi[0] = direction
    ray = rays.along(function, base, e, motion)
    point = box.lo + (box.hi - box.lo) * rng.random((200, *box.shape))
    t = 10.0 ** -(3 * rng.random((200, len(box.lo), 1)))
    t[0] = 1.0
    states = torch.tensor(np.concatenate([ABOUT + t * (point[..., :2] - ABOUT), point[..., 2:]], -1))
    resting = torch.tensor(np.concatenate([np.broadcast_to(ABOUT, point[..., :2].shape), point[..., 2:]], -1))
    after, before = (evaluate(graph, [node], x)[0].numpy() for x in (states, resting))
    quotient, slack = (after - before) / t, 1e-12 / t
    q, m = span(ray.quotient), span(ray.motion)
    assert (q.lo - slack <= quotient).all() and (quotient <= q.hi + slack).all()
    for j in range(graph.size(node)):
        along = inner_product(
            graph, gradient(graph, node, j), graph.constant([Fraction(v) for v in direction.tolist()])
        )
        value = evaluate(graph, [along], states)[0].numpy()[..., 0]
        assert (m.lo[:, j] - 1e-12 <= value).all() and (value <= m.hi[:, j] + 1e-12).all()


def test_a_switch_at_the_equilibrium_takes_both_branches() -> None:
    graph = Graph(2)
    x, switch = graph.take(graph.input, [0]), graph.take(graph.input, [1])
    node = graph.select(switch, graph.unary("neg", x), graph.unary("sin", x))
    function = Evaluator(read_graph(graph_document(graph, node), 2, "f"), 2)
    rays = Rays([Fraction(0)] * 2, [function])
    base, e = rays.state(Interval(np.array([[1.0, -0.5], [1.0, 0.1]]), np.array([[1.0, 0.5], [1.0, 0.2]])))
    quotient = span(rays.along(function, base, e, nothing(e)).quotient)
    assert quotient.lo[0] <= -1 and quotient.hi[0] >= 1  # sin(t) / t comes up to 1
    assert abs(quotient.lo[1] + 1) < 1e-9 and abs(quotient.hi[1] + 1) < 1e-9


def test_a_switch_that_jumps_at_the_equilibrium_is_rejected() -> None:
    graph = Graph(1)
    node = graph.select(graph.input, graph.constant([1]), graph.constant([2]))
    with pytest.raises(Rejected, match="select"):
        Rays([Fraction(0)], [Evaluator(read_graph(graph_document(graph, node), 1, "f"), 1)])


def trivial(n: int) -> list[list[str]]:
    return [["p", "p"] for _ in range(n)]


@pytest.mark.parametrize("name", FALSE)
def test_false_claims_are_never_confirmed(name: str) -> None:
    case = FALSE[name]
    half = torch.full((case.n,), 0.5, dtype=torch.float64)
    with pytest.raises(Unconfirmed):
        case.confirm(-half, half, trivial(case.n))


@pytest.mark.parametrize("name", ["1-norm, flow", "1-norm, map", "disturbed map"])
def test_a_proof_of_one_claim_is_none_of_a_stronger_one(name: str) -> None:
    case = TRUE[name]
    found = case.proved()
    assert found is not None
    stronger = {key: getattr(case, key) * 2 for key in ("rate", "kappa") if getattr(case, key) is not None}
    stronger = {key: value * 2 if key == "rate" else value for key, value in stronger.items()}
    with pytest.raises(Unconfirmed):
        dataclasses.replace(case, **stronger).confirm(found.lower, found.upper, found.trees)


def test_damaged_proofs_are_rejected() -> None:
    case = TRUE["1-norm, map"]
    half = torch.full((2,), 0.5, dtype=torch.float64)
    case.confirm(-half, half, trivial(2))
    for trees in (
        [["p", "p"]],
        [["p"], ["p", "p"]],
        [["x", "p"], ["p", "p"]],
        [["pp", "p"], ["p", "p"]],
        "p",
        [["App", "p"]],
    ):
        with pytest.raises(Unconfirmed):
            case.confirm(-half, half, trees)
    with pytest.raises(Rejected, match="inside"):
        case.confirm(0 * half, half, trivial(2))
    with pytest.raises(Rejected, match="inside"):
        case.confirm(0.25 * half, half, trivial(2))


def test_a_map_that_leaves_the_box_is_not_confirmed() -> None:
    """V falls, but F carries R out of X along one axis."""
    case = dataclasses.replace(
        TRUE["1-norm, map"], V=lambda x: 10 * x[..., 0].abs() + x[..., 1].abs(),
        F=lambda x: torch.stack((0 * x[..., 0], 2 * x[..., 0]), -1), kappa=Fraction(1, 10),
    )  # fmt: skip
    half = torch.full((2,), 0.4, dtype=torch.float64)
    case.confirm(-half, half, trivial(2))
    with pytest.raises(Rejected, match="into X"):
        case.confirm(-2 * half, 2 * half, trivial(2))


@pytest.mark.parametrize("exact", [False, True])
def test_a_field_must_be_defined_where_no_branch_of_v_reads_it(exact: bool) -> None:
    """V = max(|x1|, |x2|), F = (-x1, -5 x2 + log(1 - 2 relu(|x1| - 1.5 |x2|))): undefined at (0.7, 0), in the set."""
    f, v = c.Builder(2), c.Builder(2)
    x, y = f.input(), v.op("abs", v.input())
    cone = f.op("relu", f.linear(np.array([[1.0, -1.5]]), f.op("abs", x)))
    singular = f.op("log", f.constant([1.0]) - f.linear(np.array([[2.0]]), cone))
    graphs = {
        "V": v.output(v.op("maximum", y[0], y[1])),
        "F": f.output(f.concatenate(-x[0], f.linear(np.array([[-5.0]]), x[1]) + singular)),
    }
    X = ([-1.0, -1.0], [1.0, 1.0])
    proof = {
        "equilibrium": {**proofs.box(X), "rays": [["p"] * 2] * 2},
        "interior": "e",
        "faces": [["x"] * 2] * 2,
    }
    numbers = {"equilibrium": c.numbers([0.0, 0.0]), "rate": proofs.number(0.5), "level": proofs.number(0.75)}
    file = proofs.file("exponential_stability", X, proofs.NONE, graphs, proof, **numbers)
    report = check_bytes(c.sealed(file), exact)
    assert not report.ok and "along the rays" in report.reason
