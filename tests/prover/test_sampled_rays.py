"""Zero-order hold, V with a kink at x*: known limits are reached and not passed; no solution contradicts a proof."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, Budget, ClosedLoop, ExponentialStability, Quantity, System, Verdict, certify, exact
from ctrlnet.graph import evaluate
from ctrlnet.prover.disturbed_flow import DisturbedFlow
from ctrlnet.prover.interval import Interval
from ctrlnet.prover.periods import longest_period
from ctrlnet.prover.sampled import SampledLoop, sampled_stability
from ctrlnet.prover.sampled_rays import changes, map_of, matrices
from tests.prover.test_sampled_disturbed import drawn, integrated, strength

Function = Callable[..., Tensor]
LINE, UNIT = Box([-1.0], [1.0]), Box([-1.0, -1.0], [1.0, 1.0])
STILL = Box([0.0], [1.0])  # of a plant that has no disturbance


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def plant(f: Function, g: Tensor, disturbance: Box | None = None) -> System:
    """x' = f(x) + g u, or f(x, d) + g u."""
    n, m = g.shape
    state, control = ([Quantity(f"{name}{i}", "1") for i in range(count)] for name, count in (("x", n), ("u", m)))

    def push(x: Tensor, *d: Tensor) -> Tensor:
        return g.to(x).expand(*x.shape[:-1], n, m)

    return System(f, push, state=state, control=control, disturbance=disturbance)


def one_norm(x: Tensor) -> Tensor:
    return x.abs().sum(-1)


def leaky(n: int, seed: int) -> Function:
    """2 |x|₁ + |φ(x)|₁ / 10, φ a LeakyReLU network without biases."""
    generator = torch.Generator().manual_seed(seed)
    first, last = (torch.randn(6, k, generator=generator, dtype=torch.float64) / k**0.5 for k in (n, 6))
    activation = torch.nn.LeakyReLU(0.1)
    return lambda x: 2 * one_norm(x) + 0.1 * one_norm(activation(activation(x @ first.T) @ last.T))


DRIFT, GAIN = matrix((0.2, -0.3), (0.4, 0.1)), matrix((-2.0, 0.4), (-0.2, -1.5))
TURNING = plant(lambda x: x @ DRIFT.T, torch.eye(2, dtype=torch.float64))
SHAKEN = plant(
    lambda x, d: x @ DRIFT.T + d * x[..., [1, 0]] + torch.exp(d) * torch.sin(x) - x,
    torch.eye(2, dtype=torch.float64),
    Box([-0.25], [0.25]),
)
ROUGH = plant(lambda x, d: -x * x.abs() - torch.relu(d * x), matrix((1.0,)), Box([-0.25], [0.25]))
THREE = matrix((-1.0, 0.2, 0.0), (-0.1, -1.5, 0.3), (0.1, 0.0, -1.0))
PENDULUM = plant(
    lambda x: torch.stack([x[..., 1], torch.sin(x[..., 0]) - exact("0.1") * x[..., 1]], -1), matrix((0.0,), (1.0,))
)


def one_sided(x: Tensor) -> Tensor:
    """Weaker on one side: kinks of the policy at x*."""
    return -2 * x - 0.5 * torch.relu(x) + 0.25 * torch.relu(x.flip(-1))


TRUE: dict[str, tuple[Function, ClosedLoop, Box, str]] = {
    "one state": (one_norm, ClosedLoop(plant(lambda x: 0 * x, matrix((1.0,))), lambda x: -x, 0.25), LINE, "0.5"),
    "one state, one-sided": (
        lambda x: torch.maximum(x, -2 * x)[..., 0],
        ClosedLoop(plant(lambda x: torch.sin(x), matrix((1.0,))), lambda x: -2 * x - torch.relu(x), 0.25), LINE, "0.5",
    ),
    "saturated": (one_norm, ClosedLoop(TURNING, lambda x: torch.clamp(2 * x @ GAIN.T, -1.5, 1.5), 0.1), UNIT, "0.5"),
    "relu": (one_norm, ClosedLoop(TURNING, one_sided, 0.1), UNIT, "0.5"),
    "LeakyReLU": (leaky(2, 0), ClosedLoop(TURNING, lambda x: x @ GAIN.T, 0.1), UNIT, "0.3"),
    "LeakyReLU, relu, disturbed": (leaky(2, 1), ClosedLoop(SHAKEN, one_sided, 0.05), UNIT, "0.1"),
    "disturbed with kinks": (one_norm, ClosedLoop(ROUGH, lambda x: -x, 0.125), LINE, "0.5"),
    "three states": (
        one_norm,
        ClosedLoop(plant(lambda x: x @ THREE.T, matrix((0.0,), (0.0,), (1.0,))), lambda x: -x[..., 2:].relu(), 0.1),
        Box([-1.0] * 3, [1.0] * 3), "0.3",
    ),
    "pendulum": (
        lambda x: one_norm(x @ matrix((3.0, 1.0), (1.0, 1.0))),
        ClosedLoop(PENDULUM, lambda x: torch.clamp(-4 * x[..., :1] - 3.9 * x[..., 1:], -3, 3), 0.1),
        Box([-1.0, -2.0], [1.0, 2.0]), "0.3",
    ),
}  # fmt: skip


def attempt(V: Function, loop: ClosedLoop, box: Box, rate: str, level: float | None = None) -> Verdict:
    budget = Budget(seconds=30.0, boxes=20_000)
    return certify(ExponentialStability(V, exact(rate)), loop, box, level=level, budget=budget)


def path_of(loop: ClosedLoop, x: Tensor, kind: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """States during a period (moments, B, n), and the mean of the disturbance (B, k), of a kind of `drawn`."""
    if loop.disturbance is not None:
        d = drawn(loop.disturbance, len(x), kind, generator)
        return integrated(loop, x, d), d.mean(0)
    calm = ClosedLoop(
        System(lambda x, d: loop.plant.f(x), lambda x, d: loop.plant.g(x), state=loop.plant.state,
               control=loop.plant.control, disturbance=STILL),
        loop.policy, loop.period,
    )  # fmt: skip
    d = drawn(STILL, len(x), kind, generator)
    return integrated(calm, x, d), d[0, :, :0]


@pytest.mark.parametrize("name", TRUE)
def test_true_statements_are_certified_and_no_solution_contradicts_them(name: str) -> None:
    V, loop, box, rate = TRUE[name]
    verdict = attempt(V, loop, box, rate)
    assert verdict.status == "certified", verdict.reason
    assert verdict.level > 0.9 * min(verdict.sampled_level, 1.0) and "held" in verdict.statement
    generator, q = torch.Generator().manual_seed(0), 1 - float(rate) * float(loop.period or 0)
    x = box.sample(1000, generator)
    x = torch.cat((x, x * 2.0 ** -torch.randint(1, 40, (1000, 1), generator=generator)))
    x = x[V(x) <= verdict.level]
    for kind in range(4):
        path, _ = path_of(loop, x, kind, generator)
        assert (V(path[-1]) <= q * V(x) * (1 + 1e-9)).all()
        assert ((path >= box.lower - 1e-12) & (path <= box.upper + 1e-12)).all()


@pytest.mark.parametrize("half", [0.3, 0.01, 1e-6])
@pytest.mark.parametrize("name", TRUE)
def test_the_map_holds_every_solution(name: str, half: float) -> None:
    """x(T) - x* = (s + T Σ P_j (m_j - c_j)) w for some s of S: row by row, |rest - mid w| <= radius |w|."""
    V, loop, box, rate = TRUE[name]
    held = sampled_stability(ExponentialStability(V, exact(rate)), loop, box, None).loop
    assert isinstance(held, SampledLoop)
    P = changes(held, 1e-6 * box.upper)
    low, high = (side.reshape(P.shape[1:]) for side in matrices(held, half * box.lower, half * box.upper, P))
    assert low.isfinite().all() and (high - low).amax() < 1
    generator = torch.Generator().manual_seed(0)
    x = half * box.sample(500, generator)
    w = torch.cat((x, loop.policy(x) - loop.policy(0 * x)), -1)
    for kind in range(4):
        path, mean = path_of(loop, x, kind, generator)
        graph, _, F = map_of(held, P)
        middle = (0.5 * low + 0.5 * high).flatten().expand(len(x), -1)
        (after,) = evaluate(graph, [F], torch.cat((x, mean, middle), -1))
        reach = w.abs() @ (0.5 * (high - low)).T
        assert ((path[-1] - after).abs() <= reach + 1e-8 * half).all()


def test_the_slopes_of_a_loop_that_is_affine_in_the_disturbance_are_sharp() -> None:
    """x(T) = x + T m u: S is (1, T c) to the reserve, whatever D, and P is 1."""
    loop = ClosedLoop(strength(0.5, 1.5), lambda x: -x - torch.relu(x), 0.25)
    held = sampled_stability(ExponentialStability(one_norm, exact("0.5")), loop, LINE, None).loop
    assert isinstance(held, SampledLoop) and isinstance(held.flow, DisturbedFlow)
    P = changes(held, torch.full((1,), 1e-6, dtype=torch.float64))
    bounds = Interval(*matrices(held, 0.25 * LINE.lower, 0.25 * LINE.upper, P))
    assert torch.allclose(P, torch.tensor([[[0.0, 1.0]]], dtype=torch.float64), atol=1e-12)
    for side in bounds:
        assert torch.allclose(side, torch.tensor([1.0, 0.25], dtype=torch.float64), atol=1e-9)


def sampled_norm(period: float) -> float:
    """|M|₁ of x(T) = M x(0) for the linear loop."""
    whole = torch.zeros(4, 4, dtype=torch.float64)
    whole[:2, :2], whole[:2, 2:] = DRIFT, torch.eye(2, dtype=torch.float64)
    flow = torch.linalg.matrix_exp(whole * period)
    return float((flow[:2, :2] + flow[:2, 2:] @ GAIN).abs().sum(0).max())


@pytest.mark.parametrize("period", [0.1, 0.3])
def test_the_rate_of_a_linear_loop_is_reached_and_never_passed(period: float) -> None:
    loop, best = ClosedLoop(TURNING, lambda x: x @ GAIN.T, period), (1 - sampled_norm(period)) / period
    assert attempt(one_norm, loop, UNIT, repr(0.995 * best), 0.5).status == "certified"
    assert attempt(one_norm, loop, UNIT, repr(best * (1 + 1e-6)), 0.5).status != "certified"


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.5), (0.25, 3.0)])
def test_the_longest_period_of_a_known_loop_is_reached_and_never_passed(low: float, high: float) -> None:
    """x(T) = (1 - m T) x for the mean m of d(t), so T high - 1 < 1 - T / 10 while low > 1 / 10."""
    best, condition = 2 / (high + 0.1), ExponentialStability(one_norm, exact("0.1"))
    loop = ClosedLoop(strength(low, high), lambda x: -x)
    period, verdict = longest_period(condition, loop, LINE, 0.9, longest=1.5 * best, tolerance=0.03)
    assert verdict is not None and verdict.status == "certified"
    assert 0.95 * best < period < best


def test_one_side_of_a_policy_does_not_count_for_the_other() -> None:
    """u = -x - 2 relu(x), V = |x|: x(T) is (1 - T) x or (1 - 3 T) x, and T < 2 / 3.5 at the rate 1/2."""
    still = plant(lambda x: 0 * x, matrix((1.0,)))

    def steep(x: Tensor) -> Tensor:
        return -x - 2 * torch.relu(x)

    assert attempt(one_norm, ClosedLoop(still, steep, 0.99 * 2 / 3.5), LINE, "0.5", 0.9).status == "certified"
    assert attempt(one_norm, ClosedLoop(still, steep, 1.001 * 2 / 3.5), LINE, "0.5", 0.9).status != "certified"
