"""The hold along rays: slopes by x and u hold under every d(t) tried; true proofs are confirmed, forged ones not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import certificates as c
import numpy as np
import proofs
import pytest
from certificates import Content, Graph, Vector

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.checker.disturbed_flow import DisturbedFlow
from ctrlnet.checker.flow import Flow, Held
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.statement import NONE

# ---- slopes by x and u -----------------------------------------------------------------------------------------------


def linear(z: c.Node, g: c.Builder) -> c.Node:
    return g.linear(np.array([[0.5, 1.0, 0.5], [-1.0, 0.25, 1.0]]), z[[0, 1, 2]])


def pendulum(z: c.Node, g: c.Builder) -> c.Node:
    """Of length 1 + d1 and strength exp(d2)."""
    swing = g.linear(np.array([[9.81]]), g.op("sin", z[0])) / (g.constant([1.0]) + z[3])
    return g.concatenate(z[1], swing - z[1] + z[2] * g.op("exp", z[4]))


def rough(z: c.Node, g: c.Builder) -> c.Node:
    """Kinks in x, in u and in d."""
    push = g.op("relu", z[2]) + g.op("relu", z[3] * z[0]) + z[4] * z[2]
    return g.concatenate(g.op("abs", z[1]) - z[0] + z[4] * z[2], push - g.op("maximum", z[0], z[1]))


PLANTS: dict[str, Callable[[c.Node, c.Builder], c.Node]] = {"linear": linear, "pendulum": pendulum, "rough": rough}


def flow_of(name: str, period: float, D: Interval) -> Flow:
    """Of x in R^2, u in R and d in R^2, or without d where D is none."""
    f, policy = c.Builder(3 + 2), c.Builder(2)
    graph = f.output(PLANTS[name](f.input(), f))
    plan = policy.output(policy.linear(np.array([[-1.0, -2.0]]), policy.op("relu", policy.input())))
    read = Evaluator(read_graph(graph, 5, "f"), 5), Evaluator(read_graph(plan, 2, "policy"), 2)
    return DisturbedFlow(*read, Fraction(period), D)


def held(flow: Flow, x: Vector, u: Vector, d: Vector, steps: int = 12) -> Vector:
    """x(T) under u and under d (pieces, B, k), constant on each of equal pieces, by Runge-Kutta's method."""

    def f(y: Vector, piece: Vector) -> Vector:
        point = np.concatenate([y, u, piece], 1)
        return flow.f(Interval(point, point), 0).lo[0]

    h = float(flow.T.lo[0]) / len(d) / steps
    for piece in d:
        for _ in range(steps):
            k = [f(x, piece)]
            for share in (0.5, 0.5, 1.0):
                k.append(f(x + share * h * k[-1], piece))
            x = x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
    return x


def within(box: Interval, draw: np.random.Generator) -> Vector:
    """Points of boxes, often at corners."""
    return np.clip(box.lo + (box.hi - box.lo) * draw.uniform(-0.3, 1.3, box.shape), box.lo, box.hi)


def turned(flow: Flow, found: Held, mean: Vector, w: Vector) -> Interval:
    S, changes = flow.apart(found)
    for j, P in enumerate(changes):
        away = mean[:, j] - flow.c.lo[0, j]
        S = S + P * Interval(away, away)
    return (S * Interval(w.T, w.T)).sum(1)


@pytest.mark.parametrize("half", [0.3, 0.01, 1e-6])
@pytest.mark.parametrize("spread", [0.4, 0.0])
@pytest.mark.parametrize("period", [0.01, 0.15])
@pytest.mark.parametrize("name", PLANTS)
def test_differences_by_state_and_control_lie_in_their_enclosures(
    name: str, period: float, spread: float, half: float
) -> None:
    """Any x, y in a box and any u, v of U, apart from the policy, under one d(t)."""
    D = Interval(np.array([[-spread, -0.5 * spread]]), np.array([[spread, spread]]))
    flow, draw, B = flow_of(name, period, D), np.random.default_rng(0), 60
    centre = draw.uniform(-1, 1, (B, 2)) * (np.arange(B) % 3 > 0)[:, None]  # every third about 0
    box = Interval(centre - half, centre + half)
    found = flow.held(box)
    for kind in range(4):
        share = draw.random((6, B, 2)) if kind % 2 else draw.integers(0, 2, (6, B, 2))
        d = D.lo + (D.hi - D.lo) * (share if kind < 2 else share[:1].repeat(6, 0))
        (x, y), (u, v) = ([within(part, draw) for _ in range(2)] for part in (box, found.control))
        apart = held(flow, x, u, d) - held(flow, y, v, d)
        bounds = turned(flow, found, d.mean(0), np.concatenate([x - y, u - v], 1))
        assert np.isfinite(bounds.lo).all()
        assert (bounds.lo.T - 1e-8 * half <= apart).all() and (apart <= bounds.hi.T + 1e-8 * half).all()


def test_slopes_of_a_linear_plant_are_those_of_its_exponential() -> None:
    """exp(T M) of M = [[A, B], [0, 0]], by the series: the rest is of fifth order."""
    M = np.zeros((3, 3))
    M[:2] = [[0.5, 1.0, 0.5], [-1.0, 0.25, 1.0]]
    exact, term = np.eye(3), np.eye(3)
    for k in range(1, 30):
        term = term @ M * (0.25 / k)
        exact = exact + term
    flow = flow_of("linear", 0.25, Interval(np.zeros((1, 2)), np.zeros((1, 2))))
    S, _ = flow.apart(flow.held(Interval(np.full((1, 2), -0.1), np.full((1, 2), 0.1))))
    assert (S.lo[:, :, 0] <= exact[:2]).all() and (exact[:2] <= S.hi[:, :, 0]).all()
    assert (S.hi - S.lo).max() < 1e-3


def test_a_velocity_with_a_kink_in_the_disturbance_is_taken_over_all_of_it() -> None:
    """df1/du = d2 changes with d2; f2 has a kink at d1 = 0, and no P."""
    D = Interval(np.array([[-0.4, -0.2]]), np.array([[0.4, 0.4]]))
    flow = flow_of("rough", 0.125, D)
    S, changes = flow.apart(flow.held(Interval(np.full((1, 2), 0.5), np.full((1, 2), 0.6))))
    assert all(not P.lo[1].any() and not P.hi[1].any() for P in changes)
    assert changes[1].lo[0, 2, 0] <= 0.125 <= changes[1].hi[0, 2, 0]
    assert S.lo[1, 2, 0] < -0.2 * 0.12 and S.hi[1, 2, 0] > 0.4 * 0.12


# ---- certificates ----------------------------------------------------------------------------------------------------


def stated(
    f: Graph, policy: Graph, V: Graph, X: proofs.Box, period: str, rate: str, level: str, rays: Any,
    interior: str, D: proofs.Box = proofs.NONE, R: proofs.Box | None = None,
) -> Content:  # fmt: skip
    """With R = [-1, 1]^n if not given, proved along the trees `rays`, and the tree of X x D."""
    unit = [-1.0] * len(X[0]), [1.0] * len(X[0])
    block = {**proofs.box(unit if R is None else R), "rays": rays}
    graphs, proof = {"V": V, "f": f, "policy": policy}, {"equilibrium": block, "interior": interior}
    numbers = {"equilibrium": c.numbers([0.0] * len(X[0])), "period": period, "rate": rate, "level": level}
    return proofs.file("sampled_stability", X, D, graphs, proof, **numbers)


def absolute(n: int) -> Graph:
    return proofs.graph(n, lambda g, x: g.linear(np.ones((1, n)), g.op("abs", x)))


def steep(by: float, n: int = 1) -> Graph:
    """u = -x - by relu(x)."""
    return proofs.graph(n, lambda g, x: -x - g.linear(by * np.eye(n), g.op("relu", x)))


def fed_back(n: int) -> Graph:
    return steep(0.5, n)


LINE, SQUARE = "AAxAxeAAexx", "AAxBBxeBexABBxeBexx"  # e on R = [-1, 1]^n, x on the rest of [-4, 4] and of [-2, 2]^2


def one_state(**changes: Any) -> Content:
    """x' = u, so x(T) = (1 - T) x or (1 - 3 T / 2) x: |x| falls to 3/4 or less in T = 1/4, at rates below 1."""
    f = proofs.graph(2, lambda g, z: z[1])
    said: Content = {"period": "1/4", "rate": "9/10", "level": "7/8", "rays": [["p", "p"]], "interior": LINE} | changes
    return stated(f, said.pop("policy", fed_back(1)), said.pop("V", absolute(1)), ([-4.0], [4.0]), **said)


def two_states(**changes: Any) -> Content:
    """x' = (x2, -x1) / 4 + d x + u: |x(T)|_1 <= (1 - T + O(T (1/4 + d)) + O(T^2)) |x|_1 for T = 1/8."""
    f = proofs.graph(
        5, lambda g, z: g.linear(np.array([[0.0, 0.25], [-0.25, 0.0]]), z[[0, 1]]) + z[[4, 4]] * z[[0, 1]] + z[[2, 3]]
    )
    said: Content = {"period": "1/8", "rate": "1/4", "level": "7/8", "interior": SQUARE} | changes
    X, D, rays = ([-2.0, -2.0], [2.0, 2.0]), said.pop("D", ([-0.125], [0.25])), [["BpBpp", "p"], ["ApAAppp", "p"]]
    said.setdefault("rays", rays)
    return stated(f, said.pop("policy", fed_back(2)), said.pop("V", absolute(2)), X, D=D, **said)


TRUE: dict[str, Callable[..., Content]] = {"one state": one_state, "two states": two_states}


def answer(content: Content, exact: bool = False) -> CheckReport:
    return check_bytes(c.sealed(content), exact)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_confirmed(name: str, exact: bool) -> None:
    report = answer(TRUE[name](), exact)
    assert report.ok, report.reason


def shifted(n: int, by: float) -> Graph:
    """u = -x - relu(x) / 2 + by."""
    move = np.full(n, by)
    return proofs.graph(n, lambda g, x: -x - g.linear(0.5 * np.eye(n), g.op("relu", x)) + g.constant(move))


def jumping(g: c.Builder, x: c.Node) -> c.Node:
    """u = -x, but -2 x where x > 0 by a switch, and -2 x - 1/4 beyond 1/2."""
    far = g.op("select", x - g.constant([0.5]), g.constant([-0.25]), g.constant([0.0]))
    return g.op("select", x, -x - x, -x) + far


FORGED: dict[str, Callable[[], Content]] = {
    "a rate at its bound": lambda: one_state(rate="1"),
    "a rate too large by 1e-9": lambda: one_state(rate="1000000001/1000000000"),
    "a policy that is too strong on one side": lambda: one_state(policy=steep(8.0), rate="1/1000"),
    "a period too long": lambda: one_state(period="5/4", rate="1/5"),  # 15/8 - 1 > 3/4
    "an equilibrium moved by 1e-300": lambda: one_state(policy=shifted(1, 1e-300)),
    "a policy that jumps on the rays": lambda: one_state(policy=proofs.graph(1, jumping)),
    "a policy that is rounded on the rays": lambda: one_state(  # u = 2/5 at x = 3/5
        policy=proofs.graph(1, lambda g, x: g.op("floor", x + g.constant([0.5])) - x)
    ),
    "a policy that is rounded at the equilibrium": lambda: one_state(
        policy=proofs.graph(1, lambda g, x: -x - g.op("floor", x))
    ),
    "a V that vanishes on one side": lambda: one_state(V=proofs.graph(1, lambda g, x: g.op("relu", x))),
    "a V that is negative on one side": lambda: one_state(V=proofs.graph(1, lambda g, x: x)),
    "a V moved by 1e-300": lambda: one_state(
        V=proofs.graph(1, lambda g, x: g.op("abs", x) + g.constant([1e-300]))
    ),
    "a smooth V": lambda: one_state(V=proofs.graph(1, lambda g, x: g.op("square", x))),
    "a leaf excluded": lambda: one_state(rays=[["x", "p"]]),
    "a leaf at the equilibrium": lambda: one_state(rays=[["e", "p"]]),
    "a face missing": lambda: one_state(rays=[["p"]]),
    "an axis too many": lambda: one_state(rays=[["p", "p"], ["p", "p"]]),
    "no trees": lambda: one_state(rays=[]),
    "a tree cut": lambda: two_states(rays=[["BpBp", "p"], ["p", "p"]]),
    "an axis of the matrices": lambda: two_states(rays=[["Dpp", "p"], ["p", "p"]]),
    "R on one side": lambda: one_state(R=([0.0], [1.0])),
    "R beside the equilibrium": lambda: one_state(R=([0.25], [1.0])),
    "R beyond the box": lambda: one_state(R=([-1.0], [4.5])),
    "R that does not hold the leaf": lambda: one_state(R=([-0.5], [0.5])),
    "a leaf proved that holds the equilibrium": lambda: one_state(interior="AAxAxpAAexx"),
    "all excluded": lambda: one_state(interior="x"),
    "a disturbance too large": lambda: two_states(D=([-0.125], [0.75])),
    "a disturbance that is no number": lambda: two_states(D=([0.5], [-0.5])),
    "a rate too large for the disturbance": lambda: two_states(rate="1/2"),
    "a cubic that grows, where R is all of X": lambda: stated(
        proofs.graph(2, lambda g, z: z[1] + g.linear(np.array([[4.0]]), z[0] * z[0] * z[0])), fed_back(1), absolute(1),
        ([-1.0], [1.0]), "1/4", "1/4", "1", [["p", "p"]], "e", R=([-1.0], [1.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_rays_are_not_confirmed(name: str) -> None:
    report = answer(FORGED[name]())
    assert report.status in ("rejected", "unreadable", "undecided") and report.reason
    assert "failed" not in report.reason, report.reason


def test_the_rate_of_one_state_is_reached() -> None:
    """1 - 3 T / 2 < 0 < 1 - T: |x| falls to 3/4, at rates below 1."""
    assert answer(one_state(rate="999999/1000000")).ok
    assert not answer(one_state(rate="1000001/1000000")).ok


def test_other_fields_of_the_block_are_unreadable() -> None:
    content = one_state()
    content["proof"]["equilibrium"]["radius"] = "1"
    assert answer(content).status == "unreadable"


def test_a_velocity_must_be_defined_where_no_branch_of_v_reads_it() -> None:
    """V = max(|x1|, |x2|), x2' = u2 + log(1 - 2 relu(|x1| - 3/2 |x2|)), undefined at (0.7, 0) in the set."""

    def field(g: c.Builder, z: c.Node) -> c.Node:
        cone = g.op("relu", g.linear(np.array([[1.0, -1.5]]), g.op("abs", z[[0, 1]])))
        return z[[2, 3]] + g.concatenate(g.constant([0.0]), g.op("log", g.constant([1.0]) - cone - cone))

    V = proofs.graph(2, lambda g, x: g.op("maximum", g.op("abs", x[0]), g.op("abs", x[1])))
    X = ([-1.0, -1.0], [1.0, 1.0])
    rays = [["p", "p"], ["p", "p"]]
    content = stated(proofs.graph(4, field), fed_back(2), V, X, "1/8", "1/4", "3/4", rays, "e", R=X)
    assert not answer(content).ok


def test_a_policy_with_an_unbounded_slope_is_not_confirmed() -> None:
    """u = -x - sqrt(relu(x)): no multiple of |x| bounds u, and x(T) < 0 for small x > 0."""
    policy = proofs.graph(1, lambda g, x: -x - g.op("sqrt", g.op("relu", x)))
    assert not answer(one_state(policy=policy)).ok


def test_a_box_without_disturbance_has_no_changes() -> None:
    flow = Flow(
        Evaluator(read_graph(proofs.graph(2, lambda g, z: z[1]), 2, "f"), 2),
        Evaluator(read_graph(fed_back(1), 1, "policy"), 1), Fraction(1, 4), NONE,
    )  # fmt: skip
    S, changes = flow.apart(flow.held(stack([Interval(np.full((1, 1), -1.0), np.full((1, 1), 1.0))])))
    assert changes == [] and S.shape == (1, 2, 1)
    assert (S.lo[0, :, 0] <= [1.0, 0.25]).all() and (S.hi[0, :, 0] >= [1.0, 0.25]).all() and (S.hi - S.lo).max() < 1e-12
