"""Existence of an admissible control: known levels, conflicts that are found, laws at the equilibrium, misuse."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    Budget,
    ExponentialStability,
    NagumoInvariance,
    certify,
    check,
    exact,
    timed,
)
from ctrlnet.checker import compare
from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.prover import statement_of
from ctrlnet.prover.controls import maximiser
from ctrlnet.prover.existence import admissible_control
from ctrlnet.prover.holding import solved
from ctrlnet.prover.verdict import Verdict
from ctrlnet.reports.vouching import differences_from
from ctrlnet.systems import System
from tests.prover.plants import DAMPING, GRAVITY, LENGTH, MASS, quadratic

RATE = exact("0.1")
Function = Callable[[Tensor], Tensor]


def prove(conditions: Any, plant: System, box: Box, level: float | None = None, seconds: float = 60.0) -> Verdict:
    return certify(conditions, plant, box, level=level, budget=Budget(seconds=seconds))


def plant(
    f: Callable[..., Tensor], g: Callable[..., Tensor], n: int, limits: Box, disturbance: Box | None = None
) -> System:
    names, controls = [(f"x{i}", "") for i in range(n)], [(f"u{j}", "") for j in range(limits.dimension)]
    return System(f, g, state=names, control=controls, limits=limits, disturbance=disturbance)


def column(*entries: Callable[[Tensor], Tensor] | float) -> Function:
    """The input matrix of one control, constant where numbers are given."""

    def g(x: Tensor) -> Tensor:
        parts = [torch.full_like(x[..., 0], entry) if isinstance(entry, float) else entry(x) for entry in entries]
        return torch.stack(parts, -1).unsqueeze(-1)

    return g


def glide(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], torch.zeros_like(x[..., 1])], -1)


def crossed(x: Tensor) -> Tensor:
    """x² + x v + v²."""
    return x[..., 0].square() + x[..., 0] * x[..., 1] + x[..., 1].square()


def swing(x: Tensor) -> Tensor:
    speed = x[..., 1]
    return torch.stack([speed, GRAVITY / LENGTH * torch.sin(x[..., 0]) - DAMPING / (MASS * LENGTH**2) * speed], -1)


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


DOUBLE = plant(glide, column(0.0, 1.0), 2, Box([-1.0], [1.0]))
WIDE = Box([-4.0, -4.0], [4.0, 4.0])
STILL = plant(lambda x: 0.0 * x, lambda x: torch.diag_embed(torch.ones_like(x)), 2, Box([-1.0, -1.0], [1.0, 1.0]))


def interval(x: Tensor, demands: list[tuple[Function, float, int]], system: System) -> tuple[Tensor, Tensor]:
    """Ends of the controls (one input) with ± (∇v·(f + g u) + rate v) > 0 for all demands; none if they cross."""
    assert system.limits is not None
    low, high = (end.expand(len(x)).clone() for end in (system.limits.lower, system.limits.upper))
    for v, rate, sign in demands:
        there = x.clone().requires_grad_()
        value = v(there)
        (slope,) = torch.autograd.grad(value.sum(), there)
        a = sign * ((slope * system.f(x)).sum(-1) + rate * value.detach())
        b = sign * (slope[..., None] * system.g(x)).sum(-2)[..., 0]
        low = torch.where(b > 0, torch.maximum(low, -a / b), low)
        high = torch.where(b < 0, torch.minimum(high, -a / b), high)
        high = torch.where((b == 0) & (a <= 0), -torch.inf, high)
    return low, high


def test_the_level_of_the_double_integrator_is_the_known_one() -> None:
    """With s = x + 2v, V = (3x² + s²)/4 and the least V' + V/10 over |u| <= 1 is (1.1 s² + 2xs - 2.7 x²)/4 - |s|.

    On the ray x = r cos t, s = r sin t it is zero at r = 4|sin t| / (1.1 sin² t + 2 sin t cos t - 2.7 cos² t).
    """
    t = torch.linspace(1e-6, torch.pi - 1e-6, 1_000_001, dtype=torch.float64)
    bracket = 1.1 * t.sin() ** 2 + 2 * t.sin() * t.cos() - 2.7 * t.cos() ** 2
    r = torch.where(bracket > 0, 4 * t.sin() / bracket, torch.inf)
    best = float((r**2 * (3 * t.cos() ** 2 + t.sin() ** 2) / 4).min())
    verdict = prove(ExponentialStability(crossed, RATE), DOUBLE, WIDE)
    assert verdict.status == "certified"
    assert 0.99 * best <= verdict.level < best <= verdict.sampled_level <= 1.01 * best
    assert "one u in U = [-1.0, 1.0]" in verdict.statement


def test_a_level_above_the_known_one_is_refuted_by_a_state_that_no_control_saves() -> None:
    verdict = prove(ExponentialStability(crossed, RATE), DOUBLE, WIDE, level=2.5)
    assert verdict.status == "falsified"
    assert verdict.counterexample is not None
    low, high = interval(verdict.counterexample[None], [(crossed, 0.1, -1)], DOUBLE)
    assert low >= high
    assert crossed(verdict.counterexample) <= 2.5


@pytest.mark.parametrize("torque", [0.5, 6.0])
def test_the_pendulum_with_limited_torque_has_nearly_its_sampled_level(torque: float) -> None:
    """6 N m lift it from everywhere in the box, so that V meets the faces first; 0.5 N m do not."""
    inertia = MASS * LENGTH**2
    system = plant(swing, column(0.0, lambda x: torch.ones_like(x[..., 0]) / inertia), 2, Box([-torque], [torque]))
    box = Box([-2.0, -10.0], [2.0, 10.0])
    verdict = prove(ExponentialStability(quadratic, RATE), system, box)
    assert verdict.status == "certified"
    x = box.grid(801)
    low, high = interval(x, [(quadratic, 0.1, -1)], system)
    lost = (low >= high) & (x != 0).any(-1)
    best = float(quadratic(x[lost]).min()) if bool(lost.any()) else torch.inf
    edge = (x.abs() == box.upper).any(-1)
    best = min(best, float(quadratic(x[edge]).min()))
    assert 0.98 * best <= verdict.level < best


def test_a_clf_and_a_speed_limit_that_agree_are_certified_together() -> None:
    def slow(x: Tensor) -> Tensor:
        return 0.64 - x[..., 1].square()

    verdict = prove((BarrierInvariance(slow, 1.0), ExponentialStability(crossed, RATE)), DOUBLE, WIDE, level=2.5)
    assert verdict.status == "certified"  # the speed limit excludes the states that refuted this level above
    x = WIDE.grid(401)
    x = x[(crossed(x) <= 2.5) & (slow(x) >= 0) & (x != 0).any(-1)]
    low, high = interval(x, [(crossed, 0.1, -1), (slow, 1.0, 1)], DOUBLE)
    assert bool((low < high).all())


def forward(x: Tensor) -> Tensor:
    """Backwards no faster than 0.2."""
    return x[..., 1] + 0.2


def test_conditions_that_conflict_are_refuted_where_each_alone_is_kept() -> None:
    both = (ExponentialStability(crossed, RATE), BarrierInvariance(forward, 1.0))
    verdict = prove(both, DOUBLE, WIDE, level=2.0)
    assert verdict.status == "falsified"
    assert verdict.counterexample is not None
    x = verdict.counterexample[None]
    demands: list[tuple[Function, float, int]] = [(crossed, 0.1, -1), (forward, 1.0, 1)]
    for demand in demands:
        low, high = interval(x, [demand], DOUBLE)
        assert low < high
    low, high = interval(x, demands, DOUBLE)
    assert low >= high
    assert forward(x) >= 0 and crossed(x) <= 2.0


def test_conditions_that_conflict_are_certified_below_the_conflict() -> None:
    verdict = prove((ExponentialStability(crossed, RATE), BarrierInvariance(forward, 1.0)), DOUBLE, WIDE)
    x = WIDE.grid(1601)
    x = x[(forward(x) >= 0) & (x != 0).any(-1)]
    low, high = interval(x, [(crossed, 0.1, -1), (forward, 1.0, 1)], DOUBLE)
    best = float(crossed(x[low >= high]).min())
    assert verdict.status == "certified"
    assert 0.98 * best <= verdict.level < best


def test_controls_that_are_too_small_have_the_known_level() -> None:
    """x' = x + u, |u| <= 1, V = x², rate 1/2: |x| (1 + 1/4) < 1, so the level is 0.64."""
    system = plant(lambda x: x, column(1.0), 1, Box([-1.0], [1.0]))
    condition = ExponentialStability(squares, 0.5)
    verdict = prove(condition, system, Box([-2.0], [2.0]))
    assert verdict.status == "certified" and 0.99 * 0.64 <= verdict.level < 0.64
    refuted = prove(condition, system, Box([-2.0], [2.0]), level=0.7)
    assert refuted.status == "falsified" and refuted.counterexample is not None
    assert 0.8 <= abs(float(refuted.counterexample)) <= 0.84


def test_barriers_alone_need_no_equilibrium() -> None:
    def inside(x: Tensor) -> Tensor:
        return 1.0 - crossed(x)

    verdict = prove(BarrierInvariance(inside, 1.0), DOUBLE, WIDE)
    assert verdict.status == "certified" and verdict.level == 0.0
    assert "converges" not in verdict.statement
    large = prove(BarrierInvariance(lambda x: 9.0 - crossed(x), 1.0), DOUBLE, WIDE)
    assert large.status == "falsified"  # at speed 2, say, a unit force does not stop it in time
    touching = prove(BarrierInvariance(lambda x: 1.0 - x[..., 1].square(), 1.0), DOUBLE, WIDE, seconds=5.0)
    assert touching.status == "falsified"  # the set meets the faces


def test_two_controls_around_an_obstacle_are_certified_short_of_it_and_refuted_behind_it() -> None:
    """x' = u: behind a disc the way to the origin is blocked, straight behind it V and h want opposite directions."""

    def clear(x: Tensor) -> Tensor:
        return (x[..., 0] - 2.0).square() + x[..., 1].square() - 0.25

    both = (ExponentialStability(squares, RATE), BarrierInvariance(clear, 0.5))
    box = Box([-4.0, -4.0], [4.0, 4.0])
    near = prove(both, STILL, box, level=5.0)
    assert near.status == "certified"  # |x| < 2.24 ends within the disc, from whose rear edge 2.5 on it is blocked
    far = prove(both, STILL, box, level=7.0)
    assert far.status == "falsified" and far.counterexample is not None
    x = far.counterexample
    assert 2.4 <= x[0] <= 2.66 and abs(x[1]) < 0.5 and clear(x) >= 0


def test_the_control_at_rest_is_found_exactly() -> None:
    """x' = v, v' = u - 1/3 - 2w/3 with 0 <= u, w <= 1: the equations leave w free, which is 1/2; so u* = 2/3."""
    third = exact("0.25") / exact("0.75")

    def fall(x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], torch.zeros_like(x[..., 0]) - third], -1)

    def lift(x: Tensor) -> Tensor:
        zero, one = torch.zeros_like(x[..., 0]), torch.ones_like(x[..., 0])
        return torch.stack([torch.stack([zero, zero], -1), torch.stack([one, -2 * third * one], -1)], -2)

    system = plant(fall, lift, 2, Box([0.0, 0.0], [1.0, 1.0]))
    verdict = prove(ExponentialStability(crossed, RATE), system, WIDE, level=0.1)
    assert verdict.status == "certified"
    proof = json.loads(verdict.certificate.split(b"\n", 1)[1])["proof"]["equilibrium"]
    assert [Fraction(u) for u in proof["control"]] == [Fraction(2, 3), Fraction(1, 2)]


def test_a_plant_that_no_control_holds_at_the_equilibrium_is_certainly_so() -> None:
    system = plant(lambda x: x + 2.0, column(1.0), 1, Box([-1.0], [1.0]))
    verdict = prove(ExponentialStability(squares, 0.5), system, Box([-1.0], [1.0]))
    assert verdict.status == "falsified" and "No u in" in verdict.reason


def test_a_mode_that_no_control_reaches_has_no_law_and_is_refuted_elsewhere() -> None:
    system = plant(lambda x: x, column(1.0, 0.0), 2, Box([-1.0], [1.0]))
    condition = ExponentialStability(squares, 0.5)
    largest = prove(condition, system, WIDE)
    assert largest.status == "undecided" and "no law" in largest.reason
    verdict = prove(condition, system, WIDE, level=0.5)
    assert verdict.status == "falsified" and verdict.counterexample is not None
    low, high = interval(verdict.counterexample[None], [(squares, 0.5, -1)], system)
    assert low >= high and squares(verdict.counterexample) <= 0.5


def test_a_control_that_rests_at_an_end_of_its_limits_stays_there() -> None:
    """x' = (-x₁ + u₁, x₂ + u₂), 0 <= u₁ <= 1, |u₂| <= 1: u₁ is no help at the origin, and none is needed; x₂ < 4/5."""

    def drift(x: Tensor) -> Tensor:
        return torch.stack([-x[..., 0], x[..., 1]], -1)

    system = plant(drift, lambda x: torch.diag_embed(torch.ones_like(x)), 2, Box([0.0, -1.0], [1.0, 1.0]))
    verdict = prove(ExponentialStability(squares, 0.5), system, WIDE)
    assert verdict.status == "certified", verdict.reason
    assert 0.98 * 0.64 <= verdict.level < 0.64
    assert prove(ExponentialStability(squares, 0.5), system, WIDE, level=0.7).status == "falsified"


def test_a_kink_of_v_at_the_equilibrium_is_left_undecided() -> None:
    verdict = prove(ExponentialStability(lambda x: x.abs().sum(-1), 0.5), STILL, WIDE, level=0.5)
    assert verdict.status == "undecided" and "kink" in verdict.reason


def test_kinks_of_the_plant_are_no_obstacle() -> None:
    """x' = |x| + (1 + |x|) u with |u| <= 1, V = x²: the worst side is x > 0, x + (1 + x) u < -x/4 for x < 4."""
    system = plant(lambda x: x.abs(), column(lambda x: 1.0 + x[..., 0].abs()), 1, Box([-1.0], [1.0]))
    verdict = prove(ExponentialStability(squares, 0.5), system, Box([-5.0], [5.0]))
    assert verdict.status == "certified", verdict.reason
    assert 0.98 * 16 <= verdict.level < 16


def test_all_conditions_of_a_plant_are_one_claim_with_one_control(tmp_path: Path) -> None:
    """Each alone is true, and so is their conjunction under two policies; one control for both there is not."""
    falls, limit = ExponentialStability(crossed, RATE), BarrierInvariance(forward, 1.0)
    together = prove((falls, (limit,)), DOUBLE, WIDE, level=1.0)
    assert together.status == "certified" and together.parts == ()
    path = together.save(tmp_path / "both.cert")
    assert check(path).ok
    assert compare(path, **statement_of((falls, limit), DOUBLE, WIDE, 1.0)) == []
    assert differences_from(((falls, limit), DOUBLE, WIDE), path) == []  # type: ignore[arg-type]
    assert compare(path, **statement_of((falls, BarrierInvariance(forward, 2.0)), DOUBLE, WIDE, 1.0))
    assert compare(path, **statement_of(falls, DOUBLE, WIDE, 1.0))
    again = certify((falls, limit), DOUBLE, WIDE, level=1.0, start=path)
    assert again.status == "certified" and again.boxes <= together.boxes


def test_the_feedback_chosen_state_by_state_keeps_the_set_and_the_rate() -> None:
    """Euler steps under the control that the search itself chooses at single states of a certified set."""
    both = (ExponentialStability(crossed, RATE), BarrierInvariance(forward, 1.0))
    claim = admissible_control(both, DOUBLE, WIDE, 1.0)
    assert prove(both, DOUBLE, WIDE, level=1.0).status == "certified"
    extend = claim.problem.extend
    assert extend is not None
    x = WIDE.sample(4000, torch.Generator().manual_seed(1))
    x = x[(crossed(x) <= 1.0) & (forward(x) >= 0)]
    start, step = crossed(x), 0.01
    for k in range(1, 301):
        x = x + step * DOUBLE(x, extend(x, x)[0][:, 2:])
        assert bool((crossed(x) <= 1.01 * (1 - 0.1 * step) ** k * start + 1e-3).all())
        assert bool((forward(x) >= -1e-3).all())


# ---- disturbances and parameters -------------------------------------------------------------------------------------


def pushed(x: Tensor, d: Tensor) -> Tensor:
    return torch.stack([x[..., 1], d[..., 0]], -1)


def scaled(gain: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The input matrix of one control on the last coordinate, with a gain of d."""

    def g(x: Tensor, d: Tensor) -> Tensor:
        zeros = [torch.zeros_like(x[..., 0])] * (x.shape[-1] - 1)
        return torch.stack([*zeros, torch.ones_like(x[..., 0]) * gain(d[..., 0])], -1).unsqueeze(-1)

    return g


def shaken(size: float) -> System:
    """The double integrator under a force |d| <= size besides |u| <= 1."""
    return plant(pushed, scaled(lambda d: 0 * d + 1), 2, Box([-1.0], [1.0]), Box([-size], [size]))


def swinging(x: Tensor, d: Tensor) -> Tensor:
    """The pendulum of mass d₁ and damping d₂."""
    inertia = d[..., 0] * LENGTH**2
    return torch.stack([x[..., 1], GRAVITY / LENGTH * torch.sin(x[..., 0]) - d[..., 1] / inertia * x[..., 1]], -1)


UNSURE = Box([0.135, 0.08], [0.165, 0.12])  # mass within 10 %, damping within 20 %
PENDULUM = plant(swinging, scaled(lambda d: 1 / (d * LENGTH**2)), 2, Box([-0.5], [0.5]), UNSURE)


def common(x: Tensor, demands: list[tuple[Function, float, int]], system: System) -> tuple[Tensor, Tensor]:
    """As `interval`, for all disturbances of a grid of the box, corners included."""
    assert system.disturbance is not None
    ends = []
    for d in system.disturbance.grid(9):
        fixed = plant(
            lambda x, d=d: system.f(x, d.expand(*x.shape[:-1], -1)),
            lambda x, d=d: system.g(x, d.expand(*x.shape[:-1], -1)),
            system.n,
            system.limits,
        )
        ends.append(interval(x, demands, fixed))
    return torch.stack([low for low, _ in ends]).amax(0), torch.stack([high for _, high in ends]).amin(0)


@pytest.mark.parametrize(
    ("f", "gain", "box", "best"),
    [
        (lambda x, d: d * x, lambda d: 1 + 0 * d, Box([0.5], [1.0]), 0.64),  # (1 + 1/4) |x| < 1
        (lambda x, d: x + 0 * d, lambda d: d, Box([0.5], [1.0]), 0.16),  # (1 + 1/4) |x| < 1/2
        (lambda x, d: x + 0 * d, lambda d: 1 / d, Box([1.0], [2.0]), 0.16),
        (lambda x, d: x * torch.cos(d), lambda d: 1 - d.square() / 2, Box([-1.0], [1.0]), 0.4003),  # at d = ±1
    ],
)
def test_a_parameter_has_the_known_level_for_one_control_of_all_its_values(
    f: Function, gain: Function, box: Box, best: float
) -> None:
    """x' = f(x, d) + gain(d) u, |u| <= 1, V = x², rate 1/2."""
    system = plant(f, scaled(gain), 1, Box([-1.0], [1.0]), box)
    condition, room = ExponentialStability(squares, 0.5), Box([-2.0], [2.0])
    verdict = prove(condition, system, room)
    assert verdict.status == "certified", verdict.reason
    assert 0.98 * best <= verdict.level <= best
    assert prove(condition, system, room, level=1.02 * best).status == "falsified"


def test_the_pendulum_of_an_uncertain_mass_has_nearly_its_sampled_level() -> None:
    verdict = prove(ExponentialStability(quadratic, RATE), PENDULUM, Box([-2.0, -10.0], [2.0, 10.0]))
    assert verdict.status == "certified", verdict.reason
    x = Box([-0.6, -3.0], [0.6, 3.0]).grid(201)
    low, high = common(x, [(quadratic, 0.1, -1)], PENDULUM)
    best = float(quadratic(x[(low >= high) & (x != 0).any(-1)]).min())
    assert 0.97 * best <= verdict.level < best
    assert "for every d in D" in verdict.statement and "measurable in t" in verdict.statement


def holds(x: Tensor) -> Tensor:
    """1 - (x² + x v + v²): positions within 1.16, and slower the nearer to them."""
    return 1.0 - crossed(x)


@pytest.mark.parametrize(("size", "status"), [(0.3, "certified"), (0.95, "falsified")])
def test_a_position_is_kept_against_a_force(size: float, status: str) -> None:
    verdict = prove(BarrierInvariance(holds, 1.0), shaken(size), WIDE)
    assert verdict.status == status, verdict.reason
    x = WIDE.grid(201)
    x = x[holds(x) >= 0]
    low, high = common(x, [(holds, 1.0, 1)], shaken(size))
    assert bool((low < high).all()) == (status == "certified")


@pytest.mark.parametrize("subject", ["force", "mass"])
def test_no_disturbance_over_time_contradicts_a_certified_existence(subject: str) -> None:
    """Small steps under the controls chosen at single states, d random, extreme, or against the barrier or V."""
    system, box = (shaken(0.3), WIDE) if subject == "force" else (PENDULUM, Box([-2.0, -10.0], [2.0, 10.0]))
    condition = BarrierInvariance(holds, 1.0) if subject == "force" else ExponentialStability(quadratic, RATE)
    level = None if subject == "force" else 0.4
    assert prove(condition, system, box, level=level).status == "certified"
    extend, d = admissible_control((condition,), system, box, level).problem.extend, system.disturbance
    assert extend is not None and d is not None
    generator = torch.Generator().manual_seed(2)
    x = box.sample(40000, generator)
    member = holds if subject == "force" else lambda x: 0.4 - quadratic(x)
    x = x[member(x) >= 0][:100]
    start, step = quadratic(x), 0.004
    for k in range(1, 201):
        u = extend(x, x)[0][:, 2:3]
        choices = torch.stack([d.lower, d.upper, d.center, d.sample(1, generator)[0]])
        moved = torch.stack([x + step * system(x, u, c.expand(len(x), -1)) for c in choices])
        worst = member(moved.flatten(0, 1)).unflatten(0, moved.shape[:2]).argmin(0)
        some = torch.randint(len(choices), (len(x),), generator=generator)
        use = torch.where(torch.rand(len(x), generator=generator) < 0.7, worst, some)
        x = moved[use, torch.arange(len(x))]
        assert bool((member(x) >= -2e-3).all())
        if subject == "mass":
            assert bool((quadratic(x) <= 1.01 * (1 - 0.1 * step) ** k * start + 2e-3).all())


def between(size: float, width: float = 0.1) -> tuple[Any, System]:
    """x' = d / 2 + u in |x| <= width: u = -d / 2 would do for each d, and one u for all only if size < 2 width."""
    system = plant(lambda x, d: d / 2 + 0 * x, scaled(lambda d: 0 * d + 1), 1, Box([-1.0], [1.0]), Box([-size], [size]))
    return tuple(BarrierInvariance(lambda x, s=s: width + s * x[..., 0], 1.0) for s in (1.0, -1.0)), system


def test_a_control_for_every_disturbance_is_no_control_for_all_of_them() -> None:
    for size, status in ((0.19, "certified"), (0.21, "falsified"), (1.0, "falsified")):
        conditions, system = between(size)
        verdict = prove(conditions, system, Box([-1.0], [1.0]))
        assert verdict.status == status, (size, verdict.reason)
    conditions, system = between(1.0)
    assert verdict.counterexample is not None
    x = verdict.counterexample[None]
    demands: list[tuple[Function, float, int]] = [(one.h, 1.0, 1) for one in conditions]
    for d in (-1.0, 0.0, 1.0):
        fixed = plant(lambda x, d=d: d / 2 + 0 * x, column(1.0), 1, Box([-1.0], [1.0]))
        low, high = interval(x, demands, fixed)
        assert low < high
    low, high = common(x, demands, system)
    assert low >= high


def test_a_control_at_rest_must_hold_the_plant_for_all_disturbances() -> None:
    """Of x' = (u - 1/2) / d it is 1/2; of x' = u - d there is none."""
    limits, box, room = Box([0.0], [1.0]), Box([0.5], [1.0]), Box([-1.0], [1.0])
    weighed = plant(lambda x, d: -(1 / d) / 2 + 0 * x, scaled(lambda d: 1 / d), 1, limits, box)
    verdict = prove(ExponentialStability(squares, 0.5), weighed, room)
    assert verdict.status == "certified", verdict.reason
    assert 0.98 <= verdict.level < 1.0  # |u - 1/2| <= 1/2 would do up to |x| = 2
    moving = plant(lambda x, d: -d + 0 * x, scaled(lambda d: 0 * d + 1), 1, limits, box)
    refuted = prove(ExponentialStability(squares, 0.5), moving, room)
    assert refuted.status == "falsified" and "for every value of the disturbance" in refuted.reason
    hidden = plant(lambda x, d: 1e-12 * (d - 0.5) * (d - 0.75) * (d - 1) - x, scaled(lambda d: 0 * d), 1, limits, box)
    missed = prove(ExponentialStability(squares, 0.5), hidden, room, level=0.5)
    assert missed.status == "undecided" and "f + g u* is not identically zero" in missed.reason


def test_a_certificate_names_its_disturbance(tmp_path: Path) -> None:
    conditions, system = between(0.15)
    path = prove(conditions, system, Box([-1.0], [1.0])).save(tmp_path / "shaken.cert")
    assert check(path).ok
    assert compare(path, **statement_of(conditions, system, Box([-1.0], [1.0]), None)) == []
    wider = between(0.16)[1]
    assert any(
        "disturbance" in line for line in compare(path, **statement_of(conditions, wider, Box([-1.0], [1.0]), None))
    )


@pytest.mark.parametrize("m", [1, 2, 3, 8])
def test_the_maximiser_comes_near_the_best_of_a_fine_grid(m: int) -> None:
    """The least of three affine functions over the unit box."""
    generator = torch.Generator().manual_seed(m)
    forms = torch.randn(64, 3, 1 + m, generator=generator, dtype=torch.float64)
    forms = forms / forms.abs().sum(-1, keepdim=True)

    def least(u: Tensor, smooth: float) -> Tensor:
        values = forms[..., 0] + (forms[..., 1:] * u[..., None, :]).sum(-1)
        return -smooth * torch.logsumexp(-values / smooth, -1)

    one = torch.ones(m, dtype=torch.float64)
    u = maximiser(least, -one, one, 64)
    assert bool((u.abs() <= 1).all())
    axis = torch.linspace(-1, 1, 41 if m < 8 else 2, dtype=torch.float64)
    grid = torch.tensor(list(itertools.product(axis.tolist(), repeat=m)), dtype=torch.float64)
    best = least(grid[:, None].expand(-1, 64, -1), 1e-9).amax(0)  # with 8 controls, of the corners
    gap = best - least(u[None], 1e-9)[0]
    assert float(gap.mean()) < 0.01 and float(gap.max()) < 0.1


def test_a_control_at_rest_is_found_where_the_middle_of_the_limits_leaves_no_room() -> None:
    """x' = u₁ + 2 u₂ + 4 u₃ - 1/4 with 0 <= u <= 1: u₂ = u₃ = 1/2 would want u₁ = -11/4."""

    def g(x: Tensor) -> Tensor:
        return torch.stack([torch.full_like(x, k) for k in (1.0, 2.0, 4.0)], -1)

    system = plant(lambda x: 0 * x - 0.25, g, 1, Box([0.0] * 3, [1.0] * 3))
    verdict = prove(ExponentialStability(squares, 2.0), system, Box([-0.5], [0.5]))
    assert verdict.status == "certified", verdict.reason
    assert 0.98 / 16 <= verdict.level < 1 / 16  # x' < -x is needed, and x' is -1/4 at least


def test_linear_equations_are_solved_in_rationals() -> None:
    F = Fraction
    rows = [[F(1), F(2), F(3), F(4)], [F(2), F(4), F(7), F(9)]]
    found, unique = solved(rows, [F(0), F(1, 3), F(0)])
    assert found == [F(1, 3), F(1, 3), F(1)] and not unique
    assert solved([[F(1), F(2)], [F(2), F(4)]], [F(0)]) == ([F(2)], True)
    assert solved([[F(1), F(2)], [F(2), F(5)]], [F(0)]) == (None, True)
    assert solved([[F(0), F(1)]], [F(0)])[0] is None


def test_misuse_is_an_error() -> None:
    condition = ExponentialStability(squares, 1.0)
    unlimited = System(lambda x: x, column(1.0), state=[("x", "")], control=[("u", "")])
    with pytest.raises(UsageError, match="no limits"):
        certify(condition, unlimited, Box([-1.0], [1.0]))
    with pytest.raises(ShapeError, match="axes"):
        certify(condition, DOUBLE, Box([-1.0], [1.0]))
    for wrong in ((condition, condition), NagumoInvariance(squares), (condition, "fast")):
        with pytest.raises(UsageError, match="at most one"):
            certify(wrong, DOUBLE, WIDE)
    with pytest.raises(UsageError, match="no conditions"):
        certify((), DOUBLE, WIDE)
    with pytest.raises(UsageError, match="has no level"):
        certify(BarrierInvariance(squares, 1.0), DOUBLE, WIDE, level=1.0)
    with pytest.raises(UsageError, match="depends on time"):
        certify(condition, timed(lambda t, x: -x), WIDE)  # type: ignore[arg-type]
