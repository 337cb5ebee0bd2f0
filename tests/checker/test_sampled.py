"""The zero-order hold: enclosures of its map hold what is integrated, true statements are confirmed, false ones not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import certificates as c
import numpy as np
import pytest
from certificates import Content, Graph

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.checker.flow import Flow
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator


def integrator() -> tuple[Graph, Graph]:
    """x1' = x2, x2' = u with u = -x1 - 1.5 x2."""
    f, policy = c.Builder(3), c.Builder(2)
    z = f.input()
    return f.output(z[[1, 2]]), policy.output(policy.linear(np.array([[-1.0, -1.5]]), policy.input()))


def pendulum(limit: float = 6.0) -> tuple[Graph, Graph]:
    """The inverted pendulum under a saturated gain."""
    f, policy = c.Builder(3), c.Builder(2)
    z, x = f.input(), policy.input()
    swing, drag, push = (
        f.linear(np.array([[k]]), a) for k, a in ((19.62, f.op("sin", z[0])), (-2.7, z[1]), (27.0, z[2]))
    )
    u = policy.linear(np.array([[-2.0, -0.4]]), x)
    u = policy.op("minimum", policy.op("maximum", u, policy.constant([-limit])), policy.constant([limit]))
    return f.output(f.concatenate(z[1], swing + drag + push)), policy.output(u)


def friction() -> tuple[Graph, Graph]:
    """x' = -x |x| - relu(x) + u, a kink at 0, under a relu policy with a kink at 1/4."""
    f, policy = c.Builder(2), c.Builder(1)
    z, x = f.input(), policy.input()
    u = -x - policy.op("relu", x - policy.constant([0.25]))
    return f.output(z[1] - z[0] * f.op("abs", z[0]) - f.op("relu", z[0])), policy.output(u)


LOOPS: dict[str, Callable[[], tuple[Graph, Graph]]] = {
    "integrator": integrator, "pendulum": pendulum, "friction": friction,
}  # fmt: skip


def held(loop: tuple[Graph, Graph], x: np.ndarray, period: float, steps: int = 200) -> np.ndarray:
    """States (steps + 1, B, n) over one period, by Runge-Kutta's method: errors of about (19 T / steps)^4."""
    f, policy = loop
    u, h, path = c.evaluate(policy, x), period / steps, [x]
    for _ in range(steps):
        k = [c.evaluate(f, np.concatenate([x, u], 1))]
        for share in (0.5, 0.5, 1.0):
            k.append(c.evaluate(f, np.concatenate([x + share * h * k[-1], u], 1)))
        x = x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
        path.append(x)
    return np.array(path)


def flow_of(loop: tuple[Graph, Graph], period: float) -> Flow:
    n = loop[1]["nodes"][0][2]
    policy = read_graph(loop[1], n, "policy")
    f = read_graph(loop[0], n + policy.size, "f")
    return Flow(Evaluator(f, n + policy.size), Evaluator(policy, n), Fraction(period))


@pytest.mark.parametrize("half", [0.5, 0.05, 1e-3, 1e-6, 0.0])
@pytest.mark.parametrize("period", [1e-3, 0.02, 0.1])
@pytest.mark.parametrize("name", LOOPS)
def test_solutions_and_their_differences_lie_in_their_enclosures(name: str, period: float, half: float) -> None:
    loop = LOOPS[name]()
    flow, draw = flow_of(loop, period), np.random.default_rng(0)
    centre = draw.uniform(-1.5, 1.5, (60, flow.n)) * (np.arange(60) % 4 > 0)[:, None]  # every fourth about 0
    width = half * draw.random(centre.shape)
    box = Interval(centre - width, centre + width)
    image, hull = flow(box, 1), flow.held(box).hull
    assert np.isfinite(image.lo).all() and np.isfinite(hull.lo).all()
    starts = [np.clip(centre + width * draw.uniform(-1.2, 1.2, centre.shape), box.lo, box.hi) for _ in range(2)]
    paths = [held(loop, x, period) for x in starts]
    slack = 1e-9
    for path in paths:
        assert ((hull.lo - slack <= path) & (path <= hull.hi + slack)).all()
        assert ((image.lo[0] - slack <= path[-1]) & (path[-1] <= image.hi[0] + slack)).all()
    e, apart = (starts[0] - starts[1]).T[:, :, None], paths[0][-1] - paths[1][-1]
    products = np.stack([image.lo[1:] * e, image.hi[1:] * e])
    assert (products.min(0).sum(0) - slack <= apart).all() and (apart <= products.max(0).sum(0) + slack).all()


def test_the_map_of_a_linear_plant_is_enclosed_to_a_rounding() -> None:
    """x(T) = (x1 + T x2 + T^2/2 u, x2 + T u): the series ends, and the slopes are the exact matrix."""
    T = 0.25
    point = Interval(np.array([[0.5, -0.25]]), np.array([[0.5, -0.25]]))
    image = flow_of(integrator(), T)(point, 1)
    exact = np.array([[1 - T**2 / 2, T - 1.5 * T**2 / 2], [-T, 1 - 1.5 * T]])
    wanted = np.concatenate([(exact @ np.array([0.5, -0.25]))[None], exact.T])[:, None]
    assert (image.lo <= wanted).all() and (wanted <= image.hi).all()
    assert (image.hi - image.lo).max() < 1e-14


def test_the_error_at_a_state_falls_with_the_fourth_power_of_the_period() -> None:
    point = Interval(np.array([[0.5, 1.0]]), np.array([[0.5, 1.0]]))
    coarse, fine = (flow_of(pendulum(), T)(point, 0) for T in (0.02, 0.01))
    assert 2**3.5 < (coarse.hi - coarse.lo).max() / (fine.hi - fine.lo).max() < 2**4.5


def test_solutions_that_explode_or_are_not_unique_are_not_enclosed() -> None:
    """x' = x^2 from 1 explodes at t = 1; x' = sqrt(relu(x)) has many solutions from 0; 1 / x is undefined at 0."""
    still = c.Builder(1)
    policy = still.output(still.linear(np.zeros((1, 1)), still.input()))
    start = Interval(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]]))
    f = c.Builder(2)
    assert np.isnan(flow_of((f.output(f.op("square", f.input()[0])), policy), 1.0)(start, 1).lo[:, 0]).all()
    f = c.Builder(2)
    root = f.op("sqrt", f.op("relu", f.input()[0]))
    assert np.isnan(flow_of((f.output(root), policy), 0.1)(start, 1).lo[:, 1]).all()
    f = c.Builder(2)
    assert np.isnan(flow_of((f.output(f.constant([1.0]) / f.input()[0]), policy), 0.1)(start, 1).lo[:, 1]).all()


@dataclass
class HoldSampling(c.Sampling):
    """Splits until V and q V - V(x(T)) look right everywhere."""

    policy: Graph | None = None
    period: float = 0.0

    def kind(self, lower: np.ndarray, upper: np.ndarray, kinds: str) -> str:
        if (lower >= self.inner[0]).all() and (upper <= self.inner[1]).all():
            return "e"
        axes = [np.linspace(a, b, 5) for a, b in zip(lower, upper, strict=True)]
        x = np.stack([a.ravel() for a in np.meshgrid(*axes)], 1)
        v = c.evaluate(self.V, x)[:, 0]
        if v.min() > self.level + 0.05 * np.ptp(v):
            return "x"
        assert self.policy is not None
        y = held((self.F, self.policy), x, self.period, 10)[-1]
        w = (1 - self.rate * self.period) * v - c.evaluate(self.V, y)[:, 0]
        return "p" if v.min() > 1e-9 and w.min() > 0.3 * np.ptp(w) else ""


def certificate(
    loop: tuple[Graph, Graph], V: Graph, half: list[float], period: float, rate: float, level: float, inner: list[float]
) -> Content:
    f, policy = loop
    upper, around = np.array(half), (-np.array(inner), np.array(inner))
    sampling = HoldSampling(V, f, rate, level, around, policy=policy, period=period)
    period_, rate_, level_ = c.numbers([period, rate, level])
    return {
        "statement": {
            "kind": "sampled_stability", "box": {"lower": c.numbers(-upper), "upper": c.numbers(upper)},
            "equilibrium": c.numbers([0.0] * len(half)), "period": period_, "rate": rate_, "level": level_,
        },
        "graphs": {"V": V, "f": f, "policy": policy},
        "proof": {
            "equilibrium": {"lower": c.numbers(around[0]), "upper": c.numbers(around[1])},
            "interior": sampling.root(-upper, upper),
        },
        "assumptions": [], "provenance": {},
    }  # fmt: skip


SLOPED = np.array([[1.4375, 0.53125], [0.0, 1.0]])  # V = |R x|^2
STEEP = np.array([[2.125, 0.125], [0.0, 0.25]])
TRUE: dict[str, Callable[[], Content]] = {
    "integrator": lambda: certificate(integrator(), c.quadratic(SLOPED), [2.0, 2.0], 0.25, 0.25, 2.0, [0.25, 0.25]),
    "pendulum": lambda: certificate(pendulum(), c.quadratic(STEEP), [2.0, 8.0], 0.05, 0.1, 2.0, [0.125, 0.5]),
    "friction": lambda: certificate(friction(), c.quadratic(np.eye(1)), [2.0], 0.125, 0.5, 2.0, [0.125]),
}


@cache
def content(name: str) -> Content:
    return TRUE[name]()


def edited(name: str, edit: Callable[[Content], Any]) -> CheckReport:
    return check_bytes(c.changed(content(name), edit))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_confirmed(name: str, exact: bool) -> None:
    report = check_bytes(c.sealed(content(name)), exact)
    assert report.ok, report.reason
    assert "held for kT <= t < kT + T" in report.statement and report.leaves > 2


def negated(graph: Graph) -> None:
    graph["nodes"].append(["neg", [graph["output"]], None])
    graph["output"] = len(graph["nodes"]) - 1


def moved(graph: Graph, by: str, size: int) -> None:
    graph["nodes"] += [
        ["constant", [], {"q": [by] + ["0"] * (size - 1)}],
        ["add", [graph["output"], len(graph["nodes"])], None],
    ]
    graph["output"] = len(graph["nodes"]) - 1


def times(field: str, factor: int) -> Callable[[Content], None]:
    return lambda d: d["statement"].update({field: c.numbers([factor * float.fromhex(d["statement"][field])])[0]})


FALSE: dict[str, Callable[[Content], Any]] = {
    "the period ten times": times("period", 10),
    "the period a hundred times": times("period", 100),
    "rate times period above 1": lambda d: d["statement"].update(rate="100"),
    "the rate too large": lambda d: d["statement"].update(rate="3"),
    "no period": lambda d: d["statement"].update(period="0"),
    "a negative period": times("period", -1),
    "no rate": lambda d: d["statement"].update(rate="0"),
    "a level beyond the box": times("level", 100),
    "no level": lambda d: d["statement"].update(level="0"),
    "the policy backwards": lambda d: negated(d["graphs"]["policy"]),
    "the plant backwards": lambda d: negated(d["graphs"]["f"]),
    "V < 0": lambda d: negated(d["graphs"]["V"]),
    "the policy moved by 1e-9": lambda d: moved(d["graphs"]["policy"], "1/1000000000", 1),
    "V moved by 1e-300": lambda d: moved(d["graphs"]["V"], "1/" + "1" + "0" * 300, 1),
    "everything proved": lambda d: d["proof"].update(interior="p"),
    "everything excluded": lambda d: d["proof"].update(interior="x"),
    "everything at the equilibrium": lambda d: d["proof"].update(interior="e"),
    "R as the whole box": lambda d: d["proof"].update(equilibrium=copy.deepcopy(d["statement"]["box"]), interior="e"),
    "a leaf less": lambda d: d["proof"].update(interior=d["proof"]["interior"][:-1]),
    "V and f exchanged": lambda d: d["graphs"].update(V=d["graphs"]["f"], f=d["graphs"]["V"]),
    "no policy": lambda d: d["graphs"].pop("policy"),
    "a disturbance": lambda d: d["statement"].update(disturbance={"lower": [], "upper": []}),
}  # fmt: skip


@pytest.mark.parametrize("change", FALSE)
@pytest.mark.parametrize("name", ["integrator", "friction"])
def test_false_statements_and_false_proofs_are_not_confirmed(name: str, change: str) -> None:
    report = edited(name, FALSE[change])
    assert report.status in ("rejected", "unreadable", "undecided") and report.reason
    assert "failed" not in report.reason, report.reason


def test_an_excursion_between_the_samples_is_found() -> None:
    """From x1 = 1, x2 = 0.1 the integrator turns back within a period: |x1| <= 1 is left between the samples."""
    V, path = c.quadratic(SLOPED), held(integrator(), np.array([[1.0, 0.1]]), 0.25)
    assert c.evaluate(V, path[0]).max() <= 2.3 and path[-1, 0, 0] < 1 < path[:, 0, 0].max()
    wide, narrow = (certificate(integrator(), V, [edge, 2.0], 0.25, 0.25, 2.3, [0.25, 0.25]) for edge in (2.0, 1.0))
    assert check_bytes(c.sealed(wide)).ok
    report = check_bytes(c.sealed(narrow))
    assert not report.ok and "x(t) in X" in report.reason


def test_a_level_set_may_touch_the_boundary_where_solutions_turn_inward() -> None:
    """x' = u = -x on X = [-1, 1] with V = x^2 and level 1: the ends belong to S, and solutions stay in X."""
    f, policy = c.Builder(2), c.Builder(1)
    loop = f.output(f.input()[1]), policy.output(-policy.input())
    touching = certificate(loop, c.quadratic(np.eye(1)), [1.0], 0.25, 0.5, 1.0, [0.125])
    assert check_bytes(c.sealed(touching)).ok
