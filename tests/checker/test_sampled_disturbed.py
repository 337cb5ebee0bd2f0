"""The zero-order hold with a disturbance: enclosures hold for every d(t) tried; what is false is not confirmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import certificates as c
import numpy as np
import pytest
from certificates import Content, Graph, Vector

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.checker.disturbed_flow import DisturbedFlow
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval, stack
from ctrlnet.checker.jets import Evaluator

# ---- loops: f(x, u, d) and a policy ----------------------------------------------------------------------------------


def gained() -> tuple[Graph, Graph]:
    """x1' = x2, x2' = (1 + d1) u + d2 x2, u = -x1 - 1.5 x2: affine in d."""
    f, policy = c.Builder(5), c.Builder(2)
    z = f.input()
    push = z[2] + z[3] * z[2] + z[4] * z[1]
    return f.output(f.concatenate(z[1], push)), policy.output(policy.linear(np.array([[-1.0, -1.5]]), policy.input()))


def pendulum() -> tuple[Graph, Graph]:
    """The inverted pendulum of length 1 + d1 and strength exp(d2), under a saturated gain."""
    f, policy = c.Builder(5), c.Builder(2)
    z, x = f.input(), policy.input()
    swing = f.linear(np.array([[19.62]]), f.op("sin", z[0])) / (f.constant([1.0]) + z[3])
    push = f.linear(np.array([[27.0]]), z[2]) * f.op("exp", z[4])
    u = policy.linear(np.array([[-2.0, -0.4]]), x)
    u = policy.op("minimum", policy.op("maximum", u, policy.constant([-6.0])), policy.constant([6.0]))
    return f.output(f.concatenate(z[1], swing + f.linear(np.array([[-2.7]]), z[1]) + push)), policy.output(u)


def arc() -> tuple[Graph, Graph]:
    """x' = x1 (cos d, sin d) + (u1, u2), u = -x: a mean of values over d is no value."""
    f, policy = c.Builder(5), c.Builder(2)
    z, x = f.input(), policy.input()
    first = z[2] + f.op("cos", z[4]) * z[0]
    return f.output(f.concatenate(first, z[3] + f.op("sin", z[4]) * z[0])), policy.output(-x)


def friction() -> tuple[Graph, Graph]:
    """x' = -x |x| - relu(d x) + u: kinks at 0 in x and in d."""
    f, policy = c.Builder(3), c.Builder(1)
    z, x = f.input(), policy.input()
    return f.output(z[1] - z[0] * f.op("abs", z[0]) - f.op("relu", z[2] * z[0])), policy.output(-x)


LOOPS: dict[str, tuple[Callable[[], tuple[Graph, Graph]], int]] = {
    "gained": (gained, 2), "pendulum": (pendulum, 2), "arc": (arc, 1), "friction": (friction, 1),
}  # fmt: skip


def flow_of(loop: tuple[Graph, Graph], period: float, D: Interval) -> DisturbedFlow:
    n = loop[1]["nodes"][0][2]
    policy = read_graph(loop[1], n, "policy")
    inputs = n + policy.size + D.shape[1]
    return DisturbedFlow(Evaluator(read_graph(loop[0], inputs, "f"), inputs), Evaluator(policy, n), Fraction(period), D)


def held(loop: tuple[Graph, Graph], x: Vector, period: float, d: Vector, steps: int = 20) -> Vector:
    """States over one period under d (pieces, B, k), constant on each of equal pieces, by Runge-Kutta's method."""
    f, policy = loop
    u, h, path = c.evaluate(policy, x), period / len(d) / steps, [x]
    for piece in d:
        for _ in range(steps):
            k = [c.evaluate(f, np.concatenate([x, u, piece], 1))]
            for share in (0.5, 0.5, 1.0):
                k.append(c.evaluate(f, np.concatenate([x + share * h * k[-1], u, piece], 1)))
            x = x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
            path.append(x)
    return np.array(path)


def drawn(D: Interval, count: int, kind: int, draw: np.random.Generator) -> Vector:
    """d (pieces, count, k): uniform, constant corners, corners in turn, corners at random."""
    shape = (8, count, D.shape[1])
    share = draw.random(shape)
    if kind == 1:
        share = np.broadcast_to(np.round(share[:1]), shape)
    elif kind == 2:
        share = np.broadcast_to((np.arange(8) % 2)[:, None, None], shape)
    elif kind == 3:
        share = np.round(share)
    return D.lo[0] + (D.hi[0] - D.lo[0]) * share


def lies(value: Vector, bounds: Interval) -> bool:
    return bool(((bounds.lo - 1e-9 <= value) & (value <= bounds.hi + 1e-9)).all())


def applied(slopes: Interval, e: Vector) -> Interval:
    """Slopes (N, B, n) times e (B, N)."""
    products = np.stack([slopes.lo * e.T[:, :, None], slopes.hi * e.T[:, :, None]])
    return Interval(products.min(0).sum(0), products.max(0).sum(0))


@pytest.mark.parametrize("half", [0.3, 1e-3, 0.0])
@pytest.mark.parametrize("spread", [0.3, 1e-3, 0.0])
@pytest.mark.parametrize("period", [1e-3, 0.1])
@pytest.mark.parametrize("name", LOOPS)
def test_solutions_and_their_differences_lie_in_their_enclosures(
    name: str, period: float, spread: float, half: float
) -> None:
    """For every d(t): x(T) in the value at its mean, or at a part of D with its mean, and in the mean value form."""
    make, k = LOOPS[name]
    loop, D = make(), Interval(np.full((1, k), -spread), np.full((1, k), 1.25 * spread))
    flow, draw, B = flow_of(loop, period, D), np.random.default_rng(0), 60
    centre = draw.uniform(-1.5, 1.5, (B, flow.n)) * (np.arange(B) % 4 > 0)[:, None]  # every fourth about 0
    width = half * draw.random(centre.shape)
    box = Interval(centre - width, centre + width)
    image, hull = flow(stack([box, D.broadcast(B, k)], 1), 1), flow.held(box).hull
    assert np.isfinite(image.lo).all() and np.isfinite(hull.lo).all()
    middle = np.concatenate([0.5 * box.lo + 0.5 * box.hi, np.broadcast_to(0.5 * D.lo + 0.5 * D.hi, (B, k))], 1)
    start = flow(Interval(middle, middle), 0)[0]
    for kind in range(4):
        d = drawn(D, B, kind, draw)
        x, y = (np.clip(centre + width * draw.uniform(-1.2, 1.2, centre.shape), box.lo, box.hi) for _ in range(2))
        (path, other), mean = (held(loop, start, period, d) for start in (x, y)), d.mean(0)
        assert lies(path, hull) and lies(path[-1], image[0])
        part = Interval(np.maximum(mean - 0.2 * spread, D.lo), np.minimum(mean + 0.1 * spread, D.hi))
        near = flow(stack([box, part], 1), 1)
        assert lies(path[-1], near[0])
        for slopes in (image[1 : 1 + flow.n], near[1 : 1 + flow.n]):
            assert lies(path[-1] - other[-1], applied(slopes, x - y))
        moved = applied(image[1:], np.concatenate([x, mean], 1) - middle)
        assert lies(path[-1], Interval(start.lo + moved.lo, start.hi + moved.hi))


def test_slopes_that_meet_at_different_times_are_not_nested() -> None:
    """x1' = d x2, x2' = (T/3) x1 - x3, x3' = x1: from (1, 0, 0) the mean of x2 is zero, that of d x2 is not."""
    T, f, policy = 0.125, c.Builder(5), c.Builder(3)
    z = f.input()
    turn = f.linear(np.array([[T / 3, 0.0, -1.0, 0.0, 0.0]]), z)
    loop = (
        f.output(f.concatenate(z[4] * z[1], turn, z[0])),
        policy.output(policy.linear(np.zeros((1, 3)), policy.input())),
    )
    D = Interval(np.zeros((1, 1)), np.ones((1, 1)))
    point = np.array([[1.0, 0.0, 0.0]])
    box = Interval(-point, point)
    slopes = flow_of(loop, T, D)(stack([box, D], 1), 1)[1:4]
    for first in (0.0, 1.0):
        d = np.array([first, first, 1 - first])[:, None, None]
        moved = held(loop, point, T, d)[-1] - held(loop, 0 * point, T, d)[-1]
        assert abs(moved[0, 0] - 1) > 4e-5
        assert (slopes.lo[0] <= moved).all() and (slopes.hi[0] >= moved).all()


def test_for_a_field_that_is_affine_in_d_the_error_at_a_state_is_of_second_order() -> None:
    """It falls with T^2 at any width of D: T J (mean - c) is exact, the rest is O(T^2)."""
    D = Interval(np.array([[-0.3, -0.3]]), np.array([[0.3, 0.3]]))
    point = np.array([[0.5, 1.0, 0.0, 0.0]])
    coarse, fine = (flow_of(gained(), T, D)(Interval(point, point), 0) for T in (0.02, 0.01))
    assert 2**1.8 < (coarse.hi - coarse.lo).max() / (fine.hi - fine.lo).max() < 2**2.2


def test_what_is_not_lipschitz_in_the_disturbance_is_not_enclosed() -> None:
    """x' = sqrt(relu(d)) x + u, with d about 0; away from 0 all is well."""
    f, policy = c.Builder(3), c.Builder(1)
    z = f.input()
    loop = f.output(z[1] + f.op("sqrt", f.op("relu", z[2])) * z[0]), policy.output(-policy.input())
    point = np.array([[0.5, 0.75]])
    at_zero, away = (Interval(np.array([[a]]), np.array([[1.0]])) for a in (-1.0, 0.5))
    assert np.isnan(flow_of(loop, 0.1, at_zero)(Interval(point, point), 1).lo[:2]).all()  # the value, the slope in x
    assert np.isfinite(flow_of(loop, 0.1, away)(Interval(point, point), 1).lo).all()


# ---- certificates ----------------------------------------------------------------------------------------------------


@dataclass
class HoldSampling(c.Sampling):
    """Splits x until V and q V - V(x(T)) look right everywhere, for d at the corners and in the middle of D."""

    policy: Graph | None = None
    period: float = 0.0
    D: tuple[list[float], list[float]] = ([], [])

    def kind(self, lower: Vector, upper: Vector, kinds: str) -> str:
        if (lower >= self.inner[0]).all() and (upper <= self.inner[1]).all():
            return "e"
        axes = [np.linspace(a, b, 5) for a, b in zip(lower, upper, strict=True)]
        x = np.stack([a.ravel() for a in np.meshgrid(*axes)], 1)
        v = c.evaluate(self.V, x)[:, 0]
        if v.min() > self.level + 0.05 * np.ptp(v):
            return "x"
        assert self.policy is not None
        shares = np.stack([a.ravel() for a in np.meshgrid(*[[0.0, 0.5, 1.0]] * len(self.D[0]))], 1)
        values = np.array(self.D[0]) + shares * (np.array(self.D[1]) - np.array(self.D[0]))
        constant = (np.broadcast_to(d, (1, len(x), len(d))) for d in values)
        after = [c.evaluate(self.V, held((self.F, self.policy), x, self.period, d, 10)[-1])[:, 0] for d in constant]
        w = (1 - self.rate * self.period) * v - np.max(after, 0)
        return "p" if v.min() > 1e-9 and w.min() > 0.3 * np.ptp(w) else ""


def certificate(
    loop: tuple[Graph, Graph], V: Graph, half: list[float], D: tuple[list[float], list[float]], inner: list[float],
    *, period: float, rate: float, level: float,
) -> Content:  # fmt: skip
    upper, around = np.array(half), (-np.array(inner), np.array(inner))
    sampling = HoldSampling(V, loop[0], rate, level, around, policy=loop[1], period=period, D=D)
    tree = sampling.root(-upper, upper)
    return document(loop, V, half, D, inner, tree, period=period, rate=rate, level=level)


def document(
    loop: tuple[Graph, Graph], V: Graph, half: list[float], D: tuple[list[float], list[float]], inner: list[float],
    tree: str, *, period: float, rate: float, level: float,
) -> Content:  # fmt: skip
    (f, policy), upper, around = loop, np.array(half), np.array(inner)
    period_, rate_, level_ = c.numbers([period, rate, level])
    return {
        "statement": {
            "kind": "sampled_stability", "box": {"lower": c.numbers(-upper), "upper": c.numbers(upper)},
            "disturbance": {"lower": c.numbers(D[0]), "upper": c.numbers(D[1])},
            "equilibrium": c.numbers([0.0] * len(half)), "period": period_, "rate": rate_, "level": level_,
        },
        "graphs": {"V": V, "f": f, "policy": policy},
        "proof": {
            "equilibrium": {"lower": c.numbers(-around), "upper": c.numbers(around)},
            "interior": tree,
        },
        "assumptions": [], "provenance": {},
    }  # fmt: skip


def test_a_loop_that_a_switch_within_the_hold_drives_away_is_not_confirmed() -> None:
    """x' = (0, d x2, -6 x3, 8 x0) + u: x2 has the mean zero over a period, but not d x2 with d = 8 and then -8.

    Products of slopes that are nested, not summed term by term, confirm this file; V nearly quadruples in a period.
    """
    sizes, r = np.array([0.5, 1.0, 32.0, 128.0]), 2.0**-10
    drift = np.array([[0.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -6], [8, 0, 0, 0]])
    gain = np.array([[-0.5, 1, 0, 0], [0, -1, 0, 0], [2, -4, -1, 0], [-6, -4, 0, -1]])
    f, policy = c.Builder(9), c.Builder(4)
    z, zero = f.input(), f.constant([0.0])
    moved = f.linear(np.hstack([drift, np.eye(4), np.zeros((4, 1))]), z)
    loop = (
        f.output(moved + f.concatenate(zero, z[8] * z[2], zero, zero)),
        policy.output(policy.linear(gain, policy.input())),
    )
    level = 0.9 * float((sizes[0] * r) ** 2)
    x = held(loop, np.array([[1.9 * level**0.5, 0.0, 0.0, 0.0]]), 1.0, np.array([8.0, -8.0])[:, None, None])[-1]
    assert ((sizes * x) ** 2).sum() > 3 * level

    def tree(low: Vector, high: Vector) -> str:
        if (low >= -r).all() and (high <= r).all():
            return "e"
        nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(abs(low), abs(high)))
        if ((sizes * nearest) ** 2).sum() > level:
            return "x"
        axis = int(np.argmax(high - low))
        left, right = high.copy(), low.copy()
        left[axis] = right[axis] = 0.5 * (low[axis] + high[axis])
        return chr(65 + axis) + tree(low, left) + tree(right, high)

    proof = tree(-np.ones(4), np.ones(4))
    report = check_bytes(
        c.sealed(
            document(
                loop,
                c.quadratic(np.diag(sizes)),
                [1.0] * 4,
                ([-8.0], [8.0]),
                [r] * 4,
                proof,
                period=1.0,
                rate=0.05,
                level=level,
            )
        )
    )
    assert report.status == "rejected" and "not proved positive definite" in report.reason


SLOPED = np.array([[1.4375, 0.53125], [0.0, 1.0]])  # V = |R x|^2
STEEP = np.array([[2.125, 0.125], [0.0, 0.25]])
TRUE: dict[str, Callable[[], Content]] = {
    "gained": lambda: certificate(
        gained(), c.quadratic(SLOPED), [2.0, 2.0], ([-0.3, -0.1], [0.3, 0.1]), [0.25, 0.25],
        period=0.125, rate=0.125, level=2.0,
    ),
    "pendulum": lambda: certificate(
        pendulum(), c.quadratic(STEEP), [2.0, 8.0], ([-0.05, -0.1], [0.1, 0.05]), [0.0625, 0.25],
        period=0.03, rate=0.1, level=2.0,
    ),
    "friction": lambda: certificate(
        friction(), c.quadratic(np.eye(1)), [2.0], ([-0.25], [0.25]), [0.125], period=0.125, rate=0.5, level=2.0
    ),
}  # fmt: skip


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
    assert "whatever the disturbance d in D" in report.statement and "x' = f(x, u, d)" in report.statement


def says(**fields: Any) -> Callable[[Content], None]:
    return lambda d: d["statement"].update(fields)


def widened(low: float, high: float, axis: int = 0) -> Callable[[Content], None]:
    """D_axis moved to [low, high]."""

    def edit(d: Content) -> None:
        D = d["statement"]["disturbance"]
        D["lower"][axis], D["upper"][axis] = c.numbers([low, high])

    return edit


def followed(name: str, *nodes: list[Any]) -> Callable[[Content], None]:
    """Nodes appended to a graph; -1 stands for its output, -2 for its input, i >= 0 for the i-th appended one."""

    def edit(d: Content) -> None:
        graph = d["graphs"][name]
        first, known = len(graph["nodes"]), {-1: graph["output"], -2: 0}
        for operation, arguments, attribute in nodes:
            graph["nodes"].append([operation, [known.get(a, first + a) for a in arguments], attribute])
        graph["output"] = len(graph["nodes"]) - 1

    return edit


MOVED = followed(
    "f", ["take", [-2], [3]], ["constant", [], {"q": ["1/1000000000"]}], ["mul", [0, 1], None],
    ["concatenate", [2, 2], None], ["add", [-1, 3], None],
)  # fmt: skip
"""f + d1 / 10^9 in both entries: x* is no equilibrium but for d1 = 0."""

FALSE: dict[str, Callable[[Content], Any]] = {
    "a control that is turned by the disturbance": widened(-1.5, 0.3),
    "a control that is too strong": widened(-0.3, 40.0),
    "a drag that drives": widened(-0.1, 9.0, 1),
    "a disturbance upside down": widened(0.3, -0.3),
    "an unbounded disturbance": says(disturbance={"lower": ["-1", "-1"], "upper": ["1", "inf"]}),
    "a disturbance that is missing": lambda d: d["statement"].pop("disturbance"),
    "a disturbance of another size": says(disturbance={"lower": ["-1/4"], "upper": ["1/4"]}),
    "the period forty times": says(period="5"),
    "the rate too large": says(rate="4"),
    "a level beyond the box": says(level="100"),
    "an equilibrium moved by the disturbance": MOVED,
    "the plant backwards": followed("f", ["neg", [-1], None]),
    "the policy backwards": followed("policy", ["neg", [-1], None]),
    "V < 0": followed("V", ["neg", [-1], None]),
    "everything proved": lambda d: d["proof"].update(interior="p"),
    "everything excluded": lambda d: d["proof"].update(interior="x"),
    "everything at the equilibrium": lambda d: d["proof"].update(interior="e"),
    "a leaf less": lambda d: d["proof"].update(interior=d["proof"]["interior"][:-1]),
    "a disturbance in V": lambda d: d["graphs"].update(V=d["graphs"]["f"]),
}


@pytest.mark.parametrize("change", FALSE)
def test_false_statements_and_false_proofs_are_not_confirmed(change: str) -> None:
    report = edited("gained", FALSE[change])
    assert report.status in ("rejected", "unreadable", "undecided") and report.reason
    assert "failed" not in report.reason, report.reason


def test_a_narrower_disturbance_and_a_tree_that_splits_its_mean_are_true_too() -> None:
    assert edited("gained", widened(-0.1, 0.2)).ok
    assert edited("gained", widened(0.1, 0.1)).ok

    def split(d: Content) -> None:
        d["proof"]["interior"] = "C" + 2 * d["proof"]["interior"]

    assert edited("gained", split).ok


def test_constant_disturbances_do_not_prove_what_one_that_switches_refutes() -> None:
    """x1' = 3 e^d x2, x2' = -3 e^-d x1, less x / 10: half a turn at a constant d shrinks |x|, two quarters need not."""
    f, policy = c.Builder(4), c.Builder(2)
    z = f.input()
    three, up = f.constant([3.0]), f.op("exp", z[3])
    drag = f.linear(np.array([[-0.1]]), z[0]), f.linear(np.array([[-0.1]]), z[1])
    field = f.concatenate(three * up * z[1] + drag[0], drag[1] - three * z[0] / up + z[2])
    still = policy.linear(np.zeros((1, 2)), policy.input())
    loop, period = (f.output(field), policy.output(still)), np.pi / 3
    x = np.array([[0.0, 0.1], [0.1, 0.0]])
    for value in (-1.0, 0.3, 1.0):
        after = held(loop, x, period, np.full((8, 2, 1), value))[-1]
        assert (np.linalg.norm(after, axis=1) < 0.95 * np.linalg.norm(x, axis=1)).all()
    switched = np.array([1.0, -1.0])[:, None, None] * np.ones((2, 2, 1))
    assert np.linalg.norm(held(loop, x, period, switched, 200)[-1], axis=1).max() > 0.5
    said = certificate(
        loop, c.quadratic(np.eye(2)), [1.0, 1.0], ([-1.0], [1.0]), [0.25, 0.25], period=period, rate=0.05, level=0.5
    )
    assert "p" in said["proof"]["interior"]
    assert not check_bytes(c.sealed(said)).ok
