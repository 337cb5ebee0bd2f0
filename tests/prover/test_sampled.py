"""Zero-order hold: periods with known answers are proved, longer ones never; enclosures hold what is integrated."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, Budget, ClosedLoop, ExponentialStability, Quantity, System, Verdict, certify, exact
from ctrlnet.errors import UsageError
from ctrlnet.graph import evaluate
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.periods import longest_period
from ctrlnet.prover.sampled import SampledLoop, sampled_stability
from tests.prover.plants import DAMPING, GAIN, GRAVITY, LENGTH, MASS, policy_network, quadratic

Function = Callable[[Tensor], Tensor]
PENDULUM_BOX, UNIT = Box([-2.0, -8.0], [2.0, 8.0]), Box([-1.0, -1.0], [1.0, 1.0])


def plant(f: Function, g: Function, n: int = 2) -> System:
    state = tuple(Quantity(f"x{i}", "1") for i in range(n))
    return System(f, g, state=state, control=(Quantity("u", "1"),))


def last(x: Tensor, gain: Any) -> Tensor:
    """The input matrix (0, ..., 0, gain)."""
    return torch.cat([torch.zeros_like(x[..., :-1]), gain * torch.ones_like(x[..., -1:])], -1).unsqueeze(-1)


def swing(x: Tensor) -> Tensor:
    drag = DAMPING / (MASS * LENGTH**2)
    return torch.stack([x[..., 1], GRAVITY / LENGTH * torch.sin(x[..., 0]) - drag * x[..., 1]], -1)


PENDULUM = plant(swing, lambda x: last(x, 1 / (MASS * LENGTH**2)))
INTEGRATOR = plant(lambda x: torch.stack([x[..., 1], 0 * x[..., 1]], -1), lambda x: last(x, 1.0))


def saturated(x: Tensor) -> Tensor:
    return torch.clamp(-(x * GAIN).sum(-1, keepdim=True), -6.0, 6.0)


def attempt(
    condition: ExponentialStability,
    loop: ClosedLoop,
    box: Box,
    level: float | None = None,
    budget: Budget | None = None,
) -> Verdict:
    return certify(condition, loop, box, level=level, budget=budget or Budget(seconds=5.0, boxes=60_000))


# The double integrator under a gain near that of the Riccati equation, sampled exactly:
# x⁺ = (A_T - B_T K) x with A_T = [[1, T], [0, 1]] and B_T = (T²/2, T).
LQR = torch.tensor([1.0, 1.75], dtype=torch.float64)
SHAPE = torch.tensor([[1.75, 1.0], [1.0, 1.75]], dtype=torch.float64)


def feedback(x: Tensor) -> Tensor:
    return -(x * LQR).sum(-1, keepdim=True)


def bowl(x: Tensor) -> Tensor:
    return 1.75 * x[..., 0].square() + 2 * x[..., 0] * x[..., 1] + 1.75 * x[..., 1].square()


def sampled_matrix(period: float) -> Tensor:
    drift = torch.tensor([[1.0, period], [0.0, 1.0]], dtype=torch.float64)
    return drift - torch.tensor([[period**2 / 2], [period]], dtype=torch.float64) * LQR


def falls(period: float, rate: float) -> bool:
    """qP - MᵀPM is positive definite."""
    M = sampled_matrix(period)
    return bool(torch.linalg.eigvalsh((1 - rate * period) * SHAPE - M.T @ SHAPE @ M)[0] > 0)


def threshold(holds: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def test_the_longest_period_of_a_linear_loop_is_reached_and_never_passed() -> None:
    limit = threshold(lambda T: falls(T, 0.1), 1e-3, 2.0)
    condition, loop = ExponentialStability(bowl, exact("0.1")), ClosedLoop(INTEGRATOR, feedback)
    period, verdict = longest_period(condition, loop, UNIT, 0.5, longest=2.0, tolerance=0.03, certify=attempt)
    assert verdict is not None and verdict.status == "certified"
    assert 0.9 * limit < period < limit


def test_beyond_the_limit_of_stability_no_level_is_certified() -> None:
    limit = threshold(lambda T: bool(torch.linalg.eigvals(sampled_matrix(T)).abs().max() < 1), 1e-3, 2.0)
    assert 1.0 < limit < 1.9
    for factor in (1.01, 1.5):
        condition = ExponentialStability(bowl, exact("0.001"))
        assert attempt(condition, ClosedLoop(INTEGRATOR, feedback, factor * limit), UNIT).status != "certified"


@pytest.mark.parametrize("period", [0.01, 0.05, 0.12])
def test_the_pendulum_is_certified_up_to_its_sampled_level(period: float) -> None:
    verdict = attempt(
        ExponentialStability(quadratic, exact("0.1")), ClosedLoop(PENDULUM, saturated, period), PENDULUM_BOX
    )
    assert verdict.status == "certified", verdict.reason
    assert verdict.level > 0.98 * verdict.sampled_level
    assert "held" in verdict.statement


FALSE: dict[str, tuple[str, Function, float, float]] = {
    "a period too long": ("0.1", saturated, 0.25, 0.5),
    "a rate too large": ("12", saturated, 0.05, 0.5),
    "the wrong sign": ("0.1", lambda x: -saturated(x), 0.05, 0.5),
    "too little torque": ("0.1", lambda x: 0.05 * saturated(x), 0.05, 2.0),
    "a moved equilibrium": ("0.1", lambda x: saturated(x) + 1e-9, 0.05, 0.5),
    "a level beyond the box": ("0.1", saturated, 0.05, 40.0),
}


@pytest.mark.parametrize("name", FALSE)
def test_false_statements_are_not_certified(name: str) -> None:
    rate, policy, period, level = FALSE[name]
    condition, budget = ExponentialStability(quadratic, exact(rate)), Budget(seconds=2.0, boxes=20_000)
    verdict = attempt(condition, ClosedLoop(PENDULUM, policy, period), PENDULUM_BOX, level, budget)
    assert verdict.status != "certified" and verdict.reason


def test_a_relu_policy() -> None:
    network = policy_network(0, torch.nn.ReLU)
    zero = torch.zeros(2, dtype=torch.float64)
    loop = ClosedLoop(PENDULUM, lambda x: torch.clamp(network(x) - network(zero), -6.0, 6.0), 0.02)
    verdict = attempt(ExponentialStability(quadratic, exact("0.1")), loop, PENDULUM_BOX, 0.5)
    assert verdict.status == "certified", verdict.reason


def test_a_plant_with_a_kink_is_enclosed_to_second_order() -> None:
    """x' = -x |x| - relu(x) + u, u = -x."""
    kinked = plant(lambda x: -x * x.abs() - torch.relu(x), lambda x: torch.ones_like(x).unsqueeze(-1), 1)
    loop, box = ClosedLoop(kinked, lambda x: -x, 0.125), Box([-1.0], [1.0])
    condition = ExponentialStability(lambda x: x[..., 0].square(), exact("0.5"))
    claim = sampled_stability(condition, loop, box, 0.9)
    assert isinstance(claim.loop, SampledLoop) and len(claim.loop.flow.derivatives) == 2
    assert attempt(condition, loop, box, 0.9).status == "certified"


def integrated(loop: ClosedLoop, x: Tensor, period: float, steps: int = 200) -> list[Tensor]:
    u, h, path = loop.policy(x), period / steps, [x]
    for _ in range(steps):
        k = [loop.plant(x, u)]
        for share in (0.5, 0.5, 1.0):
            k.append(loop.plant(x + share * h * k[-1], u))
        x = x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
        path.append(x)
    return path


@pytest.mark.parametrize("half", [0.3, 0.01, 1e-5, 0.0])
@pytest.mark.parametrize("period", [0.01, 0.1])
def test_integrated_solutions_lie_in_their_enclosures(period: float, half: float) -> None:
    loop = ClosedLoop(PENDULUM, saturated, period)
    claim = sampled_stability(ExponentialStability(quadratic, exact("0.1")), loop, PENDULUM_BOX, None)
    held = claim.loop
    assert isinstance(held, SampledLoop)
    generator = torch.Generator().manual_seed(0)
    centre = PENDULUM_BOX.sample(100, generator)
    width = half * torch.rand(centre.shape, generator=generator, dtype=torch.float64)
    lower, upper = centre - width, centre + width
    bounds = held.extend(lower, upper)
    assert bounds[0].isfinite().all()
    (control,) = interval_bounds(held.graph, [held.policy], lower, upper)
    hull, found = held.flow.sweep(Interval(lower, upper), control)
    assert found.all()
    for share in (0.0, 0.3, 1.0):
        x = (lower + share * (upper - lower)).clamp(lower, upper)
        path = integrated(loop, x, period)
        assert all(((hull.lower - 1e-9 <= y) & (y <= hull.upper + 1e-9)).all() for y in path)
        inside = ((torch.stack(path) >= PENDULUM_BOX.lower) & (torch.stack(path) <= PENDULUM_BOX.upper)).all(0).all(-1)
        assert (inside | (bounds[1][:, -1] <= 0)).all()
        _assert_taylor(held, x, path[-1], bounds, loop)


def _assert_taylor(
    held: SampledLoop, x: Tensor, after: Tensor, bounds: tuple[Tensor, Tensor], loop: ClosedLoop
) -> None:
    """w = (x(T) - x - T f - T²/2 f₂) / (T³/6) lies in W."""
    inputs = torch.cat((x, loop.policy(x)), -1)
    first, second = evaluate(held.flow.graph, list(held.flow.derivatives[:2]), inputs)
    T, h, s = (float(held.flow.coefficient(k)) for k in (1, 2, 3))
    w, slack = (after - x - T * first - h * second) / s, 1e-9 / s
    lower, upper = bounds[0][:, 2:4], bounds[1][:, 2:4]
    assert ((lower - slack <= w) & (w <= upper + slack)).all()


def test_misuse_is_an_error_of_our_tree() -> None:
    condition = ExponentialStability(quadratic, exact("50"))
    with pytest.raises(UsageError, match="period"):
        sampled_stability(condition, ClosedLoop(PENDULUM, saturated), PENDULUM_BOX, None)
    with pytest.raises(UsageError, match="below 1"):
        sampled_stability(condition, ClosedLoop(PENDULUM, saturated, 0.02), PENDULUM_BOX, None)
    with pytest.raises(UsageError, match="tolerance"):
        longest_period(condition, ClosedLoop(PENDULUM, saturated), PENDULUM_BOX, 1.0, longest=0.1, tolerance=2.0)


@pytest.mark.parametrize("limit", [0.5, 0.37, 1e-2, 1e-9])
def test_the_bisection_of_periods_ends_at_the_limit(limit: float) -> None:
    tried: list[float] = []

    def certify(condition: Any, loop: ClosedLoop, box: Box, **options: Any) -> Verdict:
        assert loop.period is not None
        tried.append(loop.period)
        return Verdict("certified" if loop.period <= limit else "undecided", "", level=loop.period)

    condition, loop = ExponentialStability(bowl, 0.1), ClosedLoop(INTEGRATOR, feedback)
    period, verdict = longest_period(condition, loop, UNIT, 0.5, longest=0.4, tolerance=0.01, certify=certify)
    if limit < 1e-6:
        assert (period, verdict) == (0.0, None)
    else:
        assert min(limit, 0.4) / 1.01 <= period <= limit and verdict is not None and verdict.level == period
    assert len(tried) < 30 and Fraction(max(tried)) == Fraction(0.4)
