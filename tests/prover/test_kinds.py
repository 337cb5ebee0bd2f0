"""Statements of every kind: true ones are certified with known answers, and mean what simulation shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    Budget,
    ClosedLoop,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    StayWithin,
    System,
    UltimateBound,
    certify,
    check,
    exact,
)
from ctrlnet.errors import UsageError
from tests.prover.plants import neural_loop, pendulum, policy_network, quadratic

UNIT = Box([-1.0, -1.0], [1.0, 1.0])
WIDE = Box([-2.0, -2.0], [2.0, 2.0])


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def damped(x: Tensor) -> Tensor:
    """x₁' = x₂, x₂' = -x₁ - 2 x₂: both eigenvalues -1."""
    return torch.stack([x[..., 1], -x[..., 0] - 2 * x[..., 1]], -1)


# ---- discrete time ---------------------------------------------------------------------------------------------------


def test_a_contraction_in_discrete_time_has_the_whole_box() -> None:
    verdict = certify(DiscreteDecrease(squares, exact("0.19")), DiscreteMap(lambda x: x * exact("0.9")), UNIT)
    assert verdict.status == "undecided"  # equality: (1 - 0.19) = 0.9²
    verdict = certify(DiscreteDecrease(squares, exact("0.18")), DiscreteMap(lambda x: x * exact("0.9")), UNIT)
    assert verdict.status == "certified"
    assert verdict.level >= 2.0  # S is the box itself


def test_a_cubic_map_has_its_level_at_the_known_radius() -> None:
    """x⁺ = x/2 + x³: x⁺² <= (1 - kappa) x² exactly for 1/2 + x² <= √(1 - kappa); kappa = 19/100: x² <= 0.4."""
    condition = DiscreteDecrease(lambda x: x[..., 0].square(), Fraction(19, 100))
    verdict = certify(condition, DiscreteMap(lambda x: x / 2 + x**3), Box([-2.0], [2.0]))
    assert verdict.status == "certified"
    assert 0.98 * 0.4 <= verdict.level < 0.4


def test_the_next_state_must_lie_in_the_box() -> None:
    """x⁺ = (-3 x₂, x₁/9): V = x₁² + 81 x₂²/... falls, but from x₂ = 1/2 the next state leaves |x₁| <= 1."""

    def step(x: Tensor) -> Tensor:
        return torch.stack([-3 * x[..., 1], x[..., 0] / 9], -1)

    def V(x: Tensor) -> Tensor:
        return x[..., 0].square() + 18 * x[..., 1].square()

    verdict = certify(DiscreteDecrease(V, exact("0.3")), DiscreteMap(step), UNIT)
    assert verdict.status == "certified"
    assert 0.97 * 2 <= verdict.level < 2.0  # |x₂| < 1/3 on V < 18/9


def test_a_relu_policy_in_discrete_time_with_a_kink_at_the_equilibrium() -> None:
    def step(x: Tensor) -> Tensor:
        push = torch.relu(x[..., 0] + x[..., 1]) - 0.5 * torch.relu(-x[..., 0])
        return torch.stack([x[..., 0] * 0.8 + 0.1 * x[..., 1], 0.8 * x[..., 1] - 0.1 * push], -1)

    assert certify(DiscreteDecrease(squares, 0.05), DiscreteMap(step), UNIT).status == "certified"


def test_a_piecewise_linear_candidate_with_kinks_through_the_equilibrium() -> None:
    """V = |x₁| + |x₂| in both times; x' = -x + ε sin: V̇ <= -(1 - ε) V."""

    def V(x: Tensor) -> Tensor:
        return x.abs().sum(-1)

    def field(x: Tensor) -> Tensor:
        return -x + 0.25 * torch.sin(x.flip(-1))

    verdict = certify(ExponentialStability(V, 0.5), field, UNIT)
    assert verdict.status == "certified", verdict.reason
    assert verdict.level >= 0.97
    discrete = certify(DiscreteDecrease(V, 0.1), DiscreteMap(lambda x: x + 0.25 * field(x)), UNIT)
    assert discrete.status == "certified", discrete.reason


# ---- disturbances and parameters -------------------------------------------------------------------------------------


def test_an_unknown_mass_is_a_parameter() -> None:
    """The pendulum's damping within ±20 %: stable for every value, with a level below the nominal one."""

    def field(x: Tensor, d: Tensor) -> Tensor:
        return pendulum(x) - torch.stack([0 * x[..., 1], d[..., 0] * x[..., 1]], -1)

    box = Box([-2.0, -8.0], [2.0, 8.0])
    condition = ExponentialStability(quadratic, 0.1)
    nominal = certify(condition, pendulum, box)
    robust = certify(condition, Disturbed(field, Box([-0.5], [0.5])), box)
    assert robust.status == "certified", robust.reason
    assert robust.level <= nominal.level * 1.01


def test_a_disturbance_that_does_not_vanish_leaves_an_ultimate_bound() -> None:
    """x' = -x + d, |d_i| <= 1/10: |x| falls where |x|² > |d|² = 0.02, and V = |x|² <= inner in the end."""
    system = Disturbed(lambda x, d: -x + d, Box([-0.1, -0.1], [0.1, 0.1]))
    assert certify(UltimateBound(squares, 0.0201), system, UNIT).status == "certified"
    assert certify(UltimateBound(squares, 0.019, 0.5), system, UNIT).status == "falsified"
    assert certify(UltimateBound(squares, 0.019), system, UNIT).level < 0.0201
    refused = certify(ExponentialStability(squares, 0.1), system, UNIT)
    assert refused.status != "certified" and "UltimateBound" in refused.reason


def test_ultimate_bounds_in_discrete_time() -> None:
    """x⁺ = x/2 + d, |d| <= 1/10 in one dimension: |x| falls where |x|/2 > 1/10, so inner = 0.04 at |x| = 0.2."""
    system = DiscreteMap(lambda x, d: x / 2 + d, Box([-0.1], [0.1]))
    box, V = Box([-1.0], [1.0]), lambda x: x[..., 0].square()
    assert certify(UltimateBound(V, 0.041), system, box).status == "certified"
    assert certify(UltimateBound(V, 0.039), system, box).status != "certified"


# ---- invariance ------------------------------------------------------------------------------------------------------


def test_a_barrier_and_the_boundary_alone() -> None:
    """x' = -x + x³ inside the unit interval: {|x| <= 1/2}; inside, h may rise and fall."""

    def h(x: Tensor) -> Tensor:
        return 0.25 - squares(x)

    assert certify(BarrierInvariance(h, 1.0), lambda x: -x, UNIT).status == "certified"
    assert certify(NagumoInvariance(h), lambda x: -x, UNIT).status == "certified"
    outward_inside = lambda x: x * (0.1 - squares(x))[..., None]  # noqa: E731  grows near 0, falls on the boundary
    assert certify(NagumoInvariance(h), outward_inside, UNIT).status == "certified"
    assert certify(BarrierInvariance(h, 0.01), outward_inside, UNIT).status == "falsified"


def test_a_set_that_meets_the_box_needs_the_field_to_point_inward_there() -> None:
    """h = 1/2 - x₁ is a half space; x₂ stays in the box only where the field points inward."""

    def h(x: Tensor) -> Tensor:
        return 0.5 - x[..., 0]

    assert certify(BarrierInvariance(h, 1.0), lambda x: -x, UNIT).status == "certified"
    drifting = certify(BarrierInvariance(h, 1.0), lambda x: torch.stack([-x[..., 0], x[..., 1]], -1), UNIT)
    assert drifting.status == "falsified"


def test_a_chain_of_barriers_for_a_position() -> None:
    """|x₁| <= 1/2 where only the acceleration is at hand: x₁'' = -5 x₁' - 6 x₁, h = 1/4 - x₁², rates (5/2, 5/2):

    ψ₂ = -2 x₂² + 12 x₁² + (25/4) h > 0 for |x₂| <= 0.8.
    """

    def field(x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], -6 * x[..., 0] - 5 * x[..., 1]], -1)

    def h(x: Tensor) -> Tensor:
        return 0.25 - x[..., 0].square()

    box = Box([-1.0, -0.8], [1.0, 0.8])
    verdict = certify(HighOrderInvariance(h, (2.5, 2.5)), field, box)
    assert verdict.status == "certified", verdict.reason
    assert certify(BarrierInvariance(h, 2.5), field, box).status == "falsified"  # the velocity is free
    assert certify(HighOrderInvariance(h, (0.5, 0.5)), field, box).status == "falsified"


def pushed_spring(x: Tensor, d: Tensor) -> Tensor:
    """x₁' = x₂, x₂' = -6 x₁ - 5 x₂ + d, with a stiffness within 10 % as a second parameter."""
    return torch.stack([x[..., 1], -6 * (1 + d[..., 1]) * x[..., 0] - 5 * x[..., 1] + d[..., 0]], -1)


def wall(x: Tensor) -> Tensor:
    return 0.25 - x[..., 0].square()


def test_a_chain_holds_for_every_force_below_the_known_one() -> None:
    """ψ₂ = -2 x₂² + 23/4 x₁² - 2 x₁ d + 25/16 > 0 for |d| < 1.2; inward on x₂ = ±4/5 for |d| < 1."""
    box = Box([-1.0, -0.8], [1.0, 0.8])
    for size, status in ((0.99, "certified"), (1.01, "falsified")):
        system = Disturbed(lambda x, d: pushed_spring(x, torch.cat([d, 0 * d], -1)), Box([-size], [size]))
        assert certify(HighOrderInvariance(wall, (2.5, 2.5)), system, box).status == status


def test_a_chain_of_a_loop_around_a_plant_with_a_disturbance() -> None:
    """The same spring as a mass under a policy, with the force on the mass."""
    box, size = Box([-1.0, -0.8], [1.0, 0.8]), 0.99
    mass = System(
        lambda x, d: torch.stack([x[..., 1], d[..., 0]], -1),
        lambda x, d: torch.stack([0 * x[..., :1], 1 + 0 * x[..., 1:]], -2),
        state=[("x", "m"), ("v", "m/s")],
        control=[("u", "m/s²")],
        disturbance=Box([-size], [size]),
    )
    loop = ClosedLoop(mass, lambda x: -6 * x[..., :1] - 5 * x[..., 1:])
    verdict = certify(HighOrderInvariance(wall, (2.5, 2.5)), loop, box)
    assert verdict.status == "certified", verdict.reason
    assert "whatever the disturbance d in D" in verdict.statement


def test_no_force_that_changes_over_time_takes_a_chain_out_of_its_set() -> None:
    box, forces = Box([-1.0, -0.8], [1.0, 0.8]), Box([-0.6, -0.1], [0.6, 0.1])
    verdict = certify(HighOrderInvariance(wall, (2.5, 2.5)), Disturbed(pushed_spring, forces), box)
    assert verdict.status == "certified", verdict.reason
    assert "whatever the disturbance d in D" in verdict.statement
    generator = torch.Generator().manual_seed(0)
    x = box.sample(4000, generator)
    x = x[(wall(x) >= 0) & (-2 * x.prod(-1) + 2.5 * wall(x) >= 0)]
    for _ in range(600):  # bang-bang, often against the wall that is near
        random = torch.where(torch.rand(x.shape, generator=generator) < 0.5, forces.lower, forces.upper)
        d = torch.where(torch.rand(len(x), 1, generator=generator) < 0.7, forces.upper * x.sign(), random)
        x = x + 0.01 * pushed_spring(x + 0.005 * pushed_spring(x, d), d)
        assert bool((wall(x) >= -1e-4).all()) and bool((x.abs() <= box.upper + 1e-4).all())


@pytest.mark.parametrize("entry", [0, 1])
def test_a_disturbance_that_enters_the_first_derivative_is_told_which_entry(entry: int) -> None:
    """Entry 0 is read by h = 1/4 - x₁², entry 1 by one that reads the speed, too."""

    def h(x: Tensor) -> Tensor:
        return wall(x) - entry * 0.01 * x[..., 1].square()

    def field(x: Tensor, d: Tensor) -> Tensor:
        return pushed_spring(x, d) + (1 - entry) * torch.cat([d[..., :1] - d[..., :1] * 0.5, 0 * d[..., :1]], -1)

    with pytest.raises(UsageError, match=rf"h reads x\[{entry}\], and entry {entry} of the field reads d\[0"):
        certify(HighOrderInvariance(h, (2.5, 2.5)), Disturbed(field, UNIT), UNIT)


def test_a_box_that_is_never_left() -> None:
    assert certify(StayWithin(UNIT), lambda x: -x, WIDE).status == "certified"
    assert certify(StayWithin(UNIT), damped, WIDE).status == "falsified"
    robust = Disturbed(lambda x, d: -x + d, Box([-0.9, -0.9], [0.9, 0.9]))
    assert certify(StayWithin(UNIT), robust, WIDE).status == "certified"
    too_much = Disturbed(lambda x, d: -x + d, Box([-1.1, -0.9], [0.9, 0.9]))
    assert certify(StayWithin(UNIT), too_much, WIDE).status == "falsified"


# ---- conjunctions, budgets, reuse ------------------------------------------------------------------------------------


def test_a_conjunction_is_one_certificate(tmp_path: Path) -> None:
    conditions = (
        ExponentialStability(squares, 0.5),
        StayWithin(UNIT),
        (BarrierInvariance(lambda x: 1 - squares(x), 1.0),),
    )
    verdict = certify(conditions, lambda x: -x, WIDE)
    assert verdict.status == "certified" and len(verdict.parts) == 3
    assert check(verdict.save(tmp_path / "all.cert")).ok
    one_false = certify(
        (*conditions, StayWithin(WIDE)), lambda x: x * (squares(x) - 1)[..., None], WIDE, budget=Budget(boxes=20_000)
    )
    assert one_false.status == "falsified"


def test_an_unfinished_search_goes_on_from_its_boxes() -> None:
    condition, box, loop = (
        ExponentialStability(quadratic, 0.1),
        Box([-3.0, -12.0], [3.0, 12.0]),
        neural_loop(policy_network(0)),
    )
    whole = certify(condition, loop, box)
    first = certify(condition, loop, box, budget=Budget(boxes=200))
    assert first.level < whole.level
    second = certify(condition, loop, box, start=first)
    assert second.status == "certified" and second.level >= 0.99 * whole.level
    assert second.boxes < whole.boxes


def test_a_proof_is_reused_when_the_loop_changed_a_little(tmp_path: Path) -> None:
    condition, box, loop = (
        ExponentialStability(quadratic, 0.1),
        Box([-3.0, -12.0], [3.0, 12.0]),
        neural_loop(policy_network(0)),
    )
    old = certify(condition, loop, box)
    changed = certify(condition, lambda x: 1.001 * loop(x), box, start=old.save(tmp_path / "old.cert"))
    assert changed.status == "certified"
    assert changed.boxes < old.boxes  # the leaves alone are bounded


def test_a_start_of_another_kind_is_refused() -> None:
    other = certify(StayWithin(UNIT), lambda x: -x, WIDE)
    with pytest.raises(UsageError, match="another kind"):
        certify(ExponentialStability(squares, 0.5), lambda x: -x, UNIT, start=other)


def test_an_interrupt_keeps_what_was_proved() -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    condition, box = ExponentialStability(quadratic, 0.1), Box([-2.0, -8.0], [2.0, 8.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctrlnet.prover.search.EVERY", 0.0)
        verdict = certify(condition, pendulum, box, progress=stop)
    assert verdict.status in ("certified", "undecided")
    assert certify(condition, pendulum, box, start=verdict).status == "certified"


@pytest.mark.parametrize(
    ("condition", "system"),
    [
        (DiscreteDecrease(squares, 0.1), lambda x: -x),
        (ExponentialStability(squares, 0.1), DiscreteMap(lambda x: x / 2)),
        (BarrierInvariance(squares, 0.1), DiscreteMap(lambda x: x / 2)),
        (UltimateBound(squares, 0.1, 0.5), None),
    ],
)
def test_a_condition_meets_the_wrong_system(condition: object, system: object) -> None:
    with pytest.raises((UsageError, TypeError)):
        certify(condition, system, UNIT, level=0.7 if system is None else None)


@pytest.mark.parametrize("kind", ["barrier", "boundary", "decrease"])
def test_kinks_whose_gradients_agree_along_the_field_are_no_trouble(kind: str) -> None:
    """Of min(2x - y, 2y - x) and of |2x - y| + |2y - x|: the hull of all gradients has some that do not agree."""

    def h(x: Tensor) -> Tensor:
        return torch.minimum(2 * x[..., 0] - x[..., 1] + 1, 2 * x[..., 1] - x[..., 0] + 1)

    def V(x: Tensor) -> Tensor:
        return (2 * x[..., 0] - x[..., 1]).abs() + (2 * x[..., 1] - x[..., 0]).abs()

    if kind == "decrease":
        verdict = certify(ExponentialStability(V, 0.5), lambda x: -x, UNIT)
        assert verdict.level >= 0.99 * 1.5
    else:
        condition = BarrierInvariance(h, 1.0) if kind == "barrier" else NagumoInvariance(h)
        verdict = certify(condition, lambda x: 1 - 0.5 * x, Box([-3.0, -3.0], [3.0, 3.0]))
    assert verdict.status == "certified" and verdict.boxes < 1000


def test_what_cannot_be_meant_is_told() -> None:
    condition = ExponentialStability(squares, 0.1)
    with pytest.raises(UsageError, match=r"Disturbed\(F, box\)"):
        certify(condition, lambda x, d: d - x, WIDE)  # type: ignore[misc]
    with pytest.raises(UsageError, match="is the class ExponentialStability"):
        certify(ExponentialStability, lambda x: -x, WIDE)
    with pytest.raises(UsageError, match="progress is True"):
        certify(condition, lambda x: -x, WIDE, progress=True)  # type: ignore[arg-type]
    moved = certify(condition, Disturbed(lambda x, d: d - x, UNIT), WIDE)
    assert moved.status == "undecided" and "UltimateBound" in moved.reason
    near = certify(condition, lambda x: 1e-9 - x, WIDE)
    assert near.status == "falsified" and "F(x*) is not 0" in near.reason and "1e-09" in near.reason
