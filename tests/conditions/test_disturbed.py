"""Conditions on maps and on disturbed systems: margins known by hand, and what does not go together."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    NagumoInvariance,
    NeuralCandidate,
    ShapeError,
    StayWithin,
    UltimateBound,
    UsageError,
    exact,
    lie_derivative,
    mlp,
    trajectory_violation,
    violation,
)

A = torch.tensor([[0.5, 0.25], [0.0, -0.75]], dtype=torch.float64)


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def square(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def linear(x: Tensor) -> Tensor:
    return x @ A.T


def inside(clause: Any, x: Tensor) -> Tensor:
    return torch.stack([w(x) <= 0 for w in clause.where]).all(0)


def test_discrete_decrease_of_a_linear_map() -> None:
    x = states(4, 5, 2)
    condition = DiscreteDecrease(square, exact("0.1"), at=(0, 0))
    decrease, positivity = condition.clauses(DiscreteMap(linear))
    assert (decrease.name, positivity.name) == ("decrease", "positivity")
    assert torch.allclose(decrease.margin(x), 0.9 * square(x) - square(linear(x)), rtol=1e-12)
    assert torch.equal(positivity.margin(x), square(x))
    assert decrease.scale is square and not decrease.where and condition.kappa == exact("0.1")


@pytest.mark.parametrize(("kappa", "expected"), [(0.5, 0.0), (0.75, 0.0), (1.0, 0.25)])
def test_violation_of_pure_contraction_is_known(kappa: float, expected: float) -> None:
    """x⁺ = x/2 and V = |x|²: V(x⁺) = V/4, so the relative hinge is 1/4 - (1 - kappa)."""
    loss = violation(DiscreteDecrease(square, kappa), DiscreteMap(lambda x: x / 2), states(50, 3), relative=True)
    assert math.isclose(float(loss), expected, abs_tol=1e-9)


def test_ultimate_bound_of_a_field() -> None:
    x = states(300, 2)
    (clause,) = UltimateBound(square, 0.5, 2).clauses(linear)
    assert clause.name == "decrease" and clause.scale is square
    assert torch.allclose(clause.margin(x), -2 * (x * linear(x)).sum(-1), rtol=1e-12)
    assert torch.equal(inside(clause, x), (square(x) >= 0.5) & (square(x) <= 2))
    (open_ended,) = UltimateBound(square, 0.5).clauses(linear)
    assert torch.equal(inside(open_ended, x), square(x) >= 0.5)


def test_ultimate_bound_of_a_map() -> None:
    x = states(300, 2)
    decrease, containment = UltimateBound(square, 0.5, 2).clauses(DiscreteMap(linear))
    assert (decrease.name, containment.name) == ("decrease", "containment")
    assert torch.allclose(decrease.margin(x), square(x) - square(linear(x)), rtol=1e-12)
    assert torch.allclose(containment.margin(x), 0.5 - square(linear(x)), rtol=1e-12)
    assert torch.equal(inside(decrease, x), (square(x) >= 0.5) & (square(x) <= 2))
    assert torch.equal(inside(containment, x), square(x) <= 0.5)


def test_a_jump_over_the_inner_set_is_a_violation_of_containment_only() -> None:
    leap = DiscreteMap(lambda x: torch.where(x.abs() < 0.1, torch.ones_like(x), x / 2))
    x = torch.tensor([[0.05], [0.5], [1.0]], dtype=torch.float64)
    decrease, containment = UltimateBound(square, 0.25, 4).clauses(leap)
    assert (decrease.margin(x)[1:] > 0).all()
    assert containment.margin(x).tolist() == [0.25 - 1, 0.25 - 0.0625, 0.25 - 0.25]
    loss = violation(UltimateBound(square, 0.25, 4), leap, x)
    assert float(loss) == 0.75 / 2  # a mean over the two states of {V <= 1/4}
    assert float(violation(UltimateBound(square, 0.25, 4), leap, x, relative=True)) == pytest.approx(1.5)


def test_levels_may_be_negative() -> None:
    """V = |x|² - 4 along x' = -x falls everywhere but at the origin."""
    V = lambda x: square(x) - 4  # noqa: E731
    condition = UltimateBound(V, -3, 0)
    (clause,) = condition.clauses(torch.neg)
    assert clause.scale is None and (condition.V, condition.inner, condition.outer) == (V, -3, 0)
    x = states(200, 2)
    assert torch.equal(inside(clause, x), (square(x) >= 1) & (square(x) <= 4))
    assert float(violation(condition, torch.neg, x, slack=2)) == 0.0
    assert float(violation(condition, torch.neg, x, slack=3)) > 0.0


BALL = Box([-1], [1])


def test_a_disturbed_margin_lies_between_its_extremes_and_meets_both() -> None:
    """x' = -x + d, V = x²: the margin is 2x² - 2xd, affine in d."""
    torch.manual_seed(3)
    x = torch.full((4000, 1), 2.0, dtype=torch.float64)
    (clause,) = UltimateBound(square, 1).clauses(Disturbed(lambda x, d: -x + d, BALL))
    margin = clause.margin(x)
    assert float(margin.min()) == 4.0 and float(margin.max()) == 12.0
    corner = ((margin == 4) | (margin == 12)).double().mean()
    assert 0.45 < float(corner) < 0.55
    torch.manual_seed(3)
    assert torch.equal(clause.margin(x), margin)


@pytest.mark.parametrize("amplitude", [0.5, 1.5])
def test_the_ultimate_bound_of_a_disturbed_field(amplitude: float) -> None:
    """x' = -x + d with |d| <= a falls in x² exactly where |x| > a: inner = 1 is right for a < 1 and wrong for a > 1."""
    system = Disturbed(lambda x, d: -x + d, Box([-amplitude], [amplitude]))
    loss = violation(UltimateBound(square, 1, 9), system, Box([-3], [3]).sample(2000))
    assert (float(loss) > 0) == (amplitude > 1)


@pytest.mark.parametrize("amplitude", [0.4, 0.6])
def test_the_ultimate_bound_of_a_disturbed_map(amplitude: float) -> None:
    """x⁺ = x/2 + d with |d| <= a keeps |x| <= 1 exactly for a <= 1/2."""
    system = DiscreteMap(lambda x, d: x / 2 + d, Box([-amplitude], [amplitude]))
    loss = violation(UltimateBound(square, 1, 9), system, Box([-3], [3]).sample(2000))
    assert (float(loss) > 0) == (amplitude > 0.5)


def test_an_uncertain_parameter() -> None:
    """x' = -p x with p in [1, 3] decays with V = x² at rate 2, no faster; x⁺ = p x with |p| <= 1/2 loses 3/4."""
    x = states(500, 1)
    decay = Disturbed(lambda x, p: -p * x, Box([1], [3]))
    for rate, broken in ((1.9, False), (2.1, True)):
        assert (float(violation(ExponentialStability(square, rate), decay, x)) > 0) == broken
    contraction = DiscreteMap(lambda x, p: p * x, Box([-0.5], [0.5]))
    for kappa, broken in ((0.74, False), (0.76, True)):
        assert (float(violation(DiscreteDecrease(square, kappa), contraction, x)) > 0) == broken


def test_disturbed_invariance() -> None:
    """x' = -x + d keeps [-1, 1] for |d| < 1, by each of three conditions, and not for |d| <= 2."""
    h = lambda x: 1 - square(x)  # noqa: E731
    for condition in (NagumoInvariance(h, band=0.01), BarrierInvariance(h, 9), StayWithin(BALL)):
        for amplitude, broken in ((0.9, False), (2, True)):
            system = Disturbed(lambda x, d: -x + d, Box([-amplitude], [amplitude]))
            assert (float(violation(condition, system, BALL.sample(4000))) > 0) == broken


def test_the_lie_derivative_of_a_disturbed_field_is_at_some_disturbance() -> None:
    x = states(100, 1)
    derivative = lie_derivative(square, Disturbed(lambda x, d: -x + d, BALL), x)
    assert bool(((derivative + 2 * square(x)).abs() <= 2 * x[..., 0].abs() + 1e-12).all())


def test_a_trajectory_holds_its_disturbance() -> None:
    """x' = d keeps x(1) within |d| of the start, and a condition on V = x sees x' = d within the box."""
    torch.manual_seed(0)
    start = torch.zeros(64, 1, dtype=torch.float64)
    seen: list[Tensor] = []

    def V(x: Tensor) -> Tensor:
        seen.append(x)
        return x[..., 0] + 2

    trajectory_violation(ExponentialStability(V, 1), Disturbed(lambda x, d: d + 0 * x, BALL), start, [0, 0.5, 1])
    path = seen[0][..., 0]  # (3, 64), straight lines of the slope drawn
    assert torch.allclose(path[2], 2 * path[1]) and abs(float(path[2].abs().max()) - 1) < 1e-12
    assert path[2].unique().numel() > 16  # each has its own


def test_margins_train() -> None:
    gain = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    V, x = NeuralCandidate(mlp((2, 8, 3), seed=1), 2), states(20, 2)
    for condition in (DiscreteDecrease(V, 0.5), UltimateBound(V, 0.1)):
        violation(condition, DiscreteMap(lambda x: gain * x), x).backward()
        assert gain.grad is not None and float(gain.grad) > 0
        assert any(p.grad is not None and bool((p.grad != 0).any()) for p in V.parameters())
        gain.grad = None
    violation(UltimateBound(square, 0.1), Disturbed(lambda x, d: gain * x + d, Box([-1, -1], [1, 1])), x).backward()
    assert float(gain.grad) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("kappa", [0, -0.1, 1.1, math.nan, "half", None])
def test_wrong_kappas(kappa: Any) -> None:
    with pytest.raises(UsageError, match="kappa is"):
        DiscreteDecrease(square, kappa)


def test_wrong_levels() -> None:
    for inner in (math.nan, -math.inf, "low", None):
        with pytest.raises(UsageError, match="inner is"):
            UltimateBound(square, inner)  # type: ignore[arg-type]
    for outer in (1, 0.5, math.inf, math.nan, "high"):
        with pytest.raises(UsageError, match="outer is"):
            UltimateBound(square, 1, outer)  # type: ignore[arg-type]


def test_wrong_systems() -> None:
    x = states(4, 2)
    with pytest.raises(UsageError, match="ExponentialStability is about x' = F"):
        violation(ExponentialStability(square, 1), DiscreteMap(linear), x)
    with pytest.raises(UsageError, match="lie_derivative is about x' = F"):
        lie_derivative(square, DiscreteMap(linear), x)
    for system in (linear, Disturbed(lambda x, d: x + d, Box([0, 0], [1, 1]))):
        with pytest.raises(UsageError, match=r"not a DiscreteMap. Give ctrlnet\.DiscreteMap"):
            violation(DiscreteDecrease(square, 0.5), system, x)
    with pytest.raises(UsageError, match="iterate the map itself"):
        trajectory_violation(DiscreteDecrease(square, 0.5), DiscreteMap(linear), x, [0, 1])
    with pytest.raises(ShapeError, match="map maps"):
        violation(DiscreteDecrease(square, 0.5), DiscreteMap(square), x)
    with pytest.raises(ShapeError, match="field maps"):
        violation(UltimateBound(square, 1), Disturbed(lambda x, d: d, BALL), x)
    for condition in (DiscreteDecrease(linear, 0.5), UltimateBound(linear, 1)):
        with pytest.raises(ShapeError, match="V maps"):
            condition.clauses(DiscreteMap(linear))[0].margin(x)
