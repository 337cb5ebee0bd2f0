"""Zero-order hold with a disturbance: known limits are reached and not passed; no d(t) contradicts a proof."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, Budget, ClosedLoop, ExponentialStability, Quantity, System, Verdict, certify, exact
from ctrlnet.graph import evaluate
from ctrlnet.prover.disturbed_flow import DisturbedFlow
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.periods import longest_period
from ctrlnet.prover.sampled import SampledLoop, sampled_stability
from tests.prover.plants import GRAVITY, LENGTH, quadratic
from tests.prover.test_sampled import PENDULUM_BOX, UNIT, bowl, feedback, saturated

LINE = Box([-1.0], [1.0])
INERTIA = exact("0.0375")
PIECES, STEPS = 8, 12


def plant(f: Callable[..., Tensor], g: Callable[..., Tensor], disturbance: Box, n: int = 2) -> System:
    state = tuple(Quantity(f"x{i}", "1") for i in range(n))
    return System(f, g, state=state, control=(Quantity("u", "1"),), disturbance=disturbance)


def last(entry: Tensor) -> Tensor:
    """The input matrix (0, entry)."""
    return torch.stack([torch.zeros_like(entry), entry], -1).unsqueeze(-1)


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def strength(low: float, high: float) -> System:
    """x' = d u."""
    return plant(lambda x, d: 0 * x, lambda x, d: d[..., None], Box([low], [high]), 1)


def heavy(spread: float) -> System:
    """The double integrator with an uncertain strength of its control."""
    return plant(
        lambda x, d: torch.stack([x[..., 1], 0 * x[..., 1]], -1),
        lambda x, d: last(d[..., 0]),
        Box([1 - spread], [1 + spread]),
    )


def uncertain_pendulum(spread: float) -> System:
    """θ' = ω, ω' = (g/l) sin θ - b ω/(m l²) + u/(m l²), with a mass and a damping that are known up to a share."""

    def drift(x: Tensor, d: Tensor) -> Tensor:
        drag = exact("0.1") * (1 + d[..., 1]) / (INERTIA * (1 + d[..., 0]))
        return torch.stack([x[..., 1], GRAVITY / LENGTH * torch.sin(x[..., 0]) - drag * x[..., 1]], -1)

    return plant(
        drift, lambda x, d: last(1 / (INERTIA * (1 + d[..., 0]))), Box([-spread, -2 * spread], [spread, 2 * spread])
    )


def turning(size: float) -> System:
    """x' = r (cos d, sin d) ∘ x + u-term: the values over d are an arc, and a mean of them is not on it."""

    def drift(x: Tensor, d: Tensor) -> Tensor:
        angle = d[..., 0]
        return torch.stack([torch.cos(angle) * x[..., 0], torch.sin(angle) * x[..., 0] - x[..., 1]], -1)

    return plant(drift, lambda x, d: last(torch.exp(d[..., 0])), Box([-size], [size]))


def rough(size: float) -> System:
    """x' = -x |x| - relu(d x) + u: kinks in x and in d."""
    return plant(
        lambda x, d: -x * x.abs() - torch.relu(d * x),
        lambda x, d: torch.ones_like(x).unsqueeze(-1),
        Box([-size], [size]),
        1,
    )


def integrated(loop: ClosedLoop, x: Tensor, d: Tensor) -> Tensor:
    """States (moments, B, n) over one period, for d (pieces, B, k) constant on each of equal pieces."""
    assert loop.period is not None
    u, h, path = loop.policy(x), loop.period / len(d) / STEPS, [x]
    for piece in d:
        for _ in range(STEPS):
            k = [loop.plant(x, u, piece)]
            for share in (0.5, 0.5, 1.0):
                k.append(loop.plant(x + share * h * k[-1], u, piece))
            x = x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
            path.append(x)
    return torch.stack(path)


def drawn(D: Box, count: int, kind: int, generator: torch.Generator) -> Tensor:
    """d (pieces, count, k): uniform, one corner, or corners in turn and at random."""
    shape = (PIECES, count, D.dimension)
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    if kind == 1:
        share = share[:1].round().expand(shape)
    elif kind == 2:
        share = (torch.arange(PIECES) % 2).double()[:, None, None].expand(shape)
    elif kind == 3:
        share = share.round()
    return D.lower + share * (D.upper - D.lower)


# ---- enclosures ------------------------------------------------------------------------------------------------------


LOOPS: dict[str, tuple[Callable[[float], System], Callable[[Tensor], Tensor]]] = {
    "integrator": (heavy, feedback),
    "pendulum": (uncertain_pendulum, saturated),
    "turning": (lambda size: turning(3 * size), feedback),
    "rough": (rough, lambda x: -x),
}


@pytest.mark.parametrize("half", [0.3, 1e-3, 0.0])
@pytest.mark.parametrize("spread", [0.3, 1e-3])
@pytest.mark.parametrize("period", [0.005, 0.1])
@pytest.mark.parametrize("name", LOOPS)
def test_solutions_lie_in_their_enclosures(name: str, period: float, spread: float, half: float) -> None:
    system, policy = LOOPS[name]
    loop = ClosedLoop(system(spread), policy, period)
    box = Box([-2.0] * loop.plant.n, [2.0] * loop.plant.n)
    claim = sampled_stability(ExponentialStability(squares, exact("0.5")), loop, box, None)
    held, D = claim.loop, loop.disturbance
    assert isinstance(held, SampledLoop) and isinstance(held.flow, DisturbedFlow) and D is not None
    generator = torch.Generator().manual_seed(0)
    centre = box.sample(60, generator)
    width = half * torch.rand(centre.shape, generator=generator, dtype=torch.float64)
    lower, upper = centre - width, centre + width
    bounds = held.extend(lower, upper)
    assert bounds[0].isfinite().all()
    margins = interval_bounds(claim.problem.graph, list(claim.problem.goals[0].margins), *bounds)
    (control,) = interval_bounds(held.graph, [held.policy], *held.whole(lower, upper))
    hull, found = held.flow.sweep(Interval(lower, upper), control)
    assert found.all()
    for kind in range(4):
        share = torch.rand(centre.shape, generator=generator, dtype=torch.float64)
        x = torch.minimum(torch.maximum(lower + share * (upper - lower), lower), upper)
        d = drawn(D, len(x), kind, generator)
        path = integrated(loop, x, d)
        w, slack = remainder(held, x, d.mean(0), path[-1]), 1e-9 / period
        assert (
            (bounds[0][:, -1 - w.shape[1] : -1] - slack <= w) & (w <= bounds[1][:, -1 - w.shape[1] : -1] + slack)
        ).all()
        assert ((hull.lower - 1e-9 <= path) & (path <= hull.upper + 1e-9)).all()
        shrunk = (1 - period / 2) * squares(x) - squares(path[-1])
        assert ((margins[0].lower[:, 0] - 1e-9 <= shrunk) & (shrunk <= margins[0].upper[:, 0] + 1e-9)).all()
        inside = ((path >= box.lower) & (path <= box.upper)).all(0).all(-1)
        assert (inside | (margins[2].lower[:, 0] <= 0)).all()


def remainder(held: SampledLoop, x: Tensor, mean: Tensor, after: Tensor) -> Tensor:
    """w = (x(T) - x) / T - f - J (m - c) - (T/2) A f, the last for smooth f only, at (x, u, c)."""
    flow, n = held.flow, x.shape[1]
    assert isinstance(flow, DisturbedFlow)
    (u,) = evaluate(held.graph, [held.policy], torch.cat((x, mean), -1))
    c, period = flow.c.expand_as(mean), float(flow.period)

    def at(node: int, v: Tensor) -> Tensor:
        return evaluate(flow.graph, [node], torch.cat((x, u, c, v, mean - c), -1))[0]

    f = at(flow.field, x)
    bend = 0.5 * period * at(flow.carried, f) if flow.smooth else torch.zeros(len(x), n, dtype=torch.float64)
    return (after - x) / period - f - at(flow.pushed, x) - bend


def test_the_margin_at_a_state_is_sharp_to_first_order_in_the_period() -> None:
    """Of x' = d u, which is affine in d: only roundings are left, whatever the width of D."""
    loop = ClosedLoop(strength(0.5, 1.5), lambda x: -x, 0.25)
    claim = sampled_stability(ExponentialStability(squares, exact("0.5")), loop, LINE, None)
    x = torch.tensor([[0.5]], dtype=torch.float64)
    assert claim.problem.extend is not None
    lower, upper = claim.problem.extend(x, x)
    assert torch.equal(lower[:, 1], torch.tensor([0.5])) and torch.equal(upper[:, 1], torch.tensor([1.5]))
    assert (upper - lower)[:, 2].max() < 1e-12


# ---- theorems --------------------------------------------------------------------------------------------------------


def attempt(
    loop: ClosedLoop, box: Box, level: float | None = None, rate: str = "0.1", seconds: float = 10.0
) -> Verdict:
    V = {1: squares, 2: bowl}[loop.plant.n] if box is not PENDULUM_BOX else quadratic
    budget = Budget(seconds=seconds, boxes=60_000)
    return certify(ExponentialStability(V, exact(rate)), loop, box, level=level, budget=budget)


def limit(low: float, high: float, rate: float) -> float:
    """The least T > 0 with (1 - b T)² = 1 - rate T for b = low or high: b² T = 2 b - rate."""
    return min((2 * b - rate) / b**2 for b in (low, high))


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.5), (0.25, 3.0), (0.9, 1.0)])
def test_the_longest_period_of_a_known_loop_is_reached_and_never_passed(low: float, high: float) -> None:
    """x(T) = (1 - m T) x for the mean m of d(t)."""
    best, condition = limit(low, high, 0.1), ExponentialStability(squares, exact("0.1"))
    loop = ClosedLoop(strength(low, high), lambda x: -x)
    period, verdict = longest_period(condition, loop, LINE, 0.9, longest=2 * best, tolerance=0.02)
    assert verdict is not None and verdict.status == "certified"
    assert 0.96 * best < period < best


@pytest.mark.parametrize("spread", [0.1, 0.4])
def test_an_uncertain_integrator_is_certified(spread: float) -> None:
    verdict = attempt(ClosedLoop(heavy(spread), feedback, 0.2), UNIT)
    assert verdict.status == "certified", verdict.reason
    assert verdict.level > 0.99 * verdict.sampled_level


@cache
def certified_pendulum() -> Verdict:
    verdict = attempt(ClosedLoop(uncertain_pendulum(0.1), saturated, 0.02), PENDULUM_BOX)
    assert verdict.status == "certified", verdict.reason
    return verdict


def test_a_pendulum_of_uncertain_mass_and_damping_is_certified_up_to_its_sampled_level() -> None:
    verdict = certified_pendulum()
    assert verdict.level > 0.98 * verdict.sampled_level
    assert "every measurable d(t)" in verdict.statement or "measurable in t" in verdict.statement


@pytest.mark.parametrize("kind", range(4))
def test_no_disturbance_contradicts_the_certified_pendulum(kind: int) -> None:
    """Forty periods from states of the level set, under d(t) that are uniform, constant, or switch."""
    level = certified_pendulum().level
    loop = ClosedLoop(uncertain_pendulum(0.1), saturated, 0.02)
    generator = torch.Generator().manual_seed(kind)
    x = PENDULUM_BOX.sample(4000, generator)
    x = x[quadratic(x) <= level][:200]
    edge = x * (level / quadratic(x)).sqrt()[:, None] * (1 - 1e-9)
    x = torch.cat((x, edge[((edge >= PENDULUM_BOX.lower) & (edge <= PENDULUM_BOX.upper)).all(-1)]))
    assert loop.disturbance is not None
    for _ in range(40):
        path = integrated(loop, x, drawn(loop.disturbance, len(x), kind, generator))
        assert ((path >= PENDULUM_BOX.lower) & (path <= PENDULUM_BOX.upper)).all()
        assert (quadratic(path[-1]) <= (1 - 0.1 * 0.02) * quadratic(x)).all()
        x = path[-1]


def test_a_plant_with_kinks_in_the_state_and_in_the_disturbance_is_certified() -> None:
    verdict = attempt(ClosedLoop(rough(0.25), lambda x: -x, 0.125), LINE, 0.9, rate="0.5")
    assert verdict.status == "certified", verdict.reason


def test_a_plant_that_is_not_affine_in_the_disturbance_is_certified() -> None:
    """x' = exp(d) u, and d(t) within ± log 2: as with a strength from 1/2 to 2."""
    system = plant(lambda x, d: 0 * x, lambda x, d: torch.exp(d)[..., None], Box([-0.25], [0.25]), 1)
    best = limit(math.exp(-0.25), math.exp(0.25), 0.1)
    assert attempt(ClosedLoop(system, lambda x: -x, 0.75 * best), LINE, 0.9).status == "certified"
    assert attempt(ClosedLoop(system, lambda x: -x, 1.01 * best), LINE, 0.9, seconds=2.0).status != "certified"


# ---- what is false, or cannot be meant -------------------------------------------------------------------------------


def quarter_turns() -> System:
    """x' = (-x₁/10 + 3 e^d x₂, -3 e^{-d} x₁ - x₂/10): for every constant d a spiral that turns at the speed 3."""

    def drift(x: Tensor, d: Tensor) -> Tensor:
        up = 3 * torch.exp(d[..., 0])
        return torch.stack([-0.1 * x[..., 0] + up * x[..., 1], -9 / up * x[..., 0] - 0.1 * x[..., 1]], -1)

    return plant(drift, lambda x, d: last(0 * d[..., 0]), Box([-1.0], [1.0]))


def test_constant_disturbances_show_nothing_about_those_that_switch() -> None:
    """After half a turn x(T) = -exp(-T/10) x for any constant d; with d = 1, then -1, for a quarter each, it grows."""
    period = math.pi / 3
    loop = ClosedLoop(quarter_turns(), lambda x: 0 * x[..., :1], period)
    x = torch.tensor([[0.0, 0.1], [0.1, 0.0], [0.1, -0.1]], dtype=torch.float64)
    for value in (-1.0, 0.0, 0.7, 1.0):
        after = integrated(loop, x, torch.full((PIECES, 3, 1), value, dtype=torch.float64))[-1]
        assert torch.allclose(after, -math.exp(-0.1 * period) * x, atol=1e-4)
    switched = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None, None].expand(2, 3, 1)
    assert squares(integrated(loop, x, switched)[-1]).max() > 20 * squares(x).max()
    verdict = attempt(loop, UNIT, 0.01, rate="0.05", seconds=3.0)
    assert verdict.status != "certified" and verdict.reason


FALSE: dict[str, tuple[ClosedLoop, float]] = {
    "a disturbance that turns the control": (ClosedLoop(strength(-0.01, 1.0), lambda x: -x, 0.1), 0.5),
    "a disturbance that is too strong": (ClosedLoop(strength(0.5, 21.0), lambda x: -x, 0.1), 0.5),
    "a period too long for the largest disturbance": (
        ClosedLoop(strength(0.5, 1.5), lambda x: -x, 1.01 * limit(0.5, 1.5, 0.1)), 0.5,
    ),
    "a rate too large for the least disturbance": (ClosedLoop(strength(0.04, 1.0), lambda x: -x, 0.1), 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_false_statements_are_not_certified(name: str) -> None:
    loop, level = FALSE[name]
    verdict = attempt(loop, LINE, level, seconds=2.0)
    assert verdict.status != "certified" and verdict.reason


def test_an_equilibrium_that_the_disturbance_moves_is_refused() -> None:
    moved = plant(lambda x, d: 1e-12 * d, lambda x, d: torch.ones_like(x)[..., None], Box([-1.0], [1.0]), 1)
    verdict = attempt(ClosedLoop(moved, lambda x: -x, 0.1), LINE, 0.5)
    assert verdict.status != "certified"
    assert "depends on the disturbance at x* = (0)" in verdict.reason and "UltimateBound" not in verdict.reason
