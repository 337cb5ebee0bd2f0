"""Invariance: barriers, the boundary alone, chains of derivatives, boxes; margins known by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    ClosedLoop,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    Feedback,
    HighOrderInvariance,
    NagumoInvariance,
    NeuralCandidate,
    ShapeError,
    StayWithin,
    System,
    UsageError,
    exact,
    mlp,
    violation,
)

A = torch.tensor([[-1.0, 2.0], [0.5, -3.0]], dtype=torch.float64)


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def linear(x: Tensor) -> Tensor:
    return x @ A.T


def disc(x: Tensor) -> Tensor:
    return 1 - x.square().sum(-1)


def diamond(x: Tensor) -> Tensor:
    return 1 - x.abs().sum(-1)


def pushed(x: Tensor) -> Tensor:
    """A double integrator p' = v, v' = 1."""
    return torch.stack([x[..., 1], torch.ones_like(x[..., 1])], -1)


def inside(clause: Any, x: Tensor) -> Tensor:
    return torch.stack([w(x) <= 0 for w in clause.where]).all(0)


def test_the_barrier_margin_of_a_disc_along_a_linear_field() -> None:
    x = states(5, 7, 2)
    (clause,) = BarrierInvariance(disc, 0.75).clauses(linear)
    expected = -2 * torch.einsum("...i,ij,...j->...", x, A, x) + 0.75 * disc(x)
    assert clause.name == "barrier"
    assert torch.allclose(clause.margin(x), expected, rtol=1e-12)
    assert torch.equal(inside(clause, x), x.norm(dim=-1) <= 1)


def test_rate_zero_asks_that_h_grows_everywhere() -> None:
    (clause,) = BarrierInvariance(disc, 0).clauses(torch.neg)
    x = states(9, 2)
    assert torch.allclose(clause.margin(x), 2 * x.square().sum(-1))


def test_a_kinked_h_has_its_one_sided_margin() -> None:
    x = torch.tensor([[0.5, 0.25], [-0.5, 0.25], [0.5, -1.0], [-0.25, -0.25]], dtype=torch.float64)
    (clause,) = BarrierInvariance(diamond, 2.0).clauses(linear)
    expected = -(x.sign() * linear(x)).sum(-1) + 2 * diamond(x)
    assert torch.allclose(clause.margin(x), expected, rtol=1e-12)
    assert inside(clause, x).tolist() == [True, True, False, True]


def test_nagumo_is_asked_in_a_band_about_the_boundary() -> None:
    (clause,) = NagumoInvariance(disc, band=0.5).clauses(linear)
    x = states(200, 2)
    assert clause.name == "boundary"
    assert torch.allclose(clause.margin(x), -2 * torch.einsum("...i,ij,...j->...", x, A, x), rtol=1e-12)
    assert torch.equal(inside(clause, x), disc(x).abs() <= 0.5)
    assert bool(inside(clause, torch.tensor([[0.6, 0.8]], dtype=torch.float64)).all())
    # outward inside the disc, inward at its edge: only a barrier with a large rate, or Nagumo, allows it
    swirl = lambda x: x * (0.5 - x.square().sum(-1, keepdim=True))  # noqa: E731
    assert float(violation(NagumoInvariance(disc, band=0.3), swirl, x)) == 0.0
    assert float(violation(BarrierInvariance(disc, 0.1), swirl, x)) > 0.0


def test_the_chain_of_a_double_integrator() -> None:
    """h = p, so that ψ₁ = v + a p and ψ₂ = 1 + (a + b) v + a b p."""
    (clause,) = HighOrderInvariance(lambda x: x[..., 0], (2, exact("3"))).clauses(pushed)
    x = states(4, 6, 2)
    p, v = x[..., 0], x[..., 1]
    assert torch.allclose(clause.margin(x), 1 + 5 * v + 6 * p, rtol=1e-12)
    assert torch.equal(inside(clause, x), (p >= 0) & (v + 2 * p >= 0))
    assert len(clause.where) == 2


def test_a_chain_of_three_and_of_one() -> None:
    """h = q³ along q' = q has the eigenvalue 3: each link multiplies by 3 + a."""
    x, cube = states(9, 1), lambda x: x[..., 0] ** 3
    (clause,) = HighOrderInvariance(cube, (1, 2, 3)).clauses(lambda x: x)
    assert torch.allclose(clause.margin(x), 4 * 5 * 6 * cube(x), rtol=1e-12)
    assert [round(float(-w(torch.ones(1, 1))[0])) for w in clause.where] == [1, 4, 20]
    (short,), (barrier,) = (
        HighOrderInvariance(disc, (0.3,)).clauses(linear),
        BarrierInvariance(disc, 0.3).clauses(linear),
    )
    x = states(8, 2)
    assert torch.allclose(short.margin(x), barrier.margin(x), rtol=1e-12)
    assert torch.equal(short.where[0](x), barrier.where[0](x))


def test_the_inward_speed_on_each_face() -> None:
    box = Box([-1, -2], [3, 4])
    x = states(5, 3, 2) * 4  # some of them outside: the nearest state of the face counts
    names, margins = zip(*((c.name, c.margin(x)) for c in StayWithin(box).clauses(linear)), strict=True)
    assert names == ("lower face 0", "upper face 0", "lower face 1", "upper face 1")
    y = x.clamp(box.lower, box.upper)
    low_0, high_0 = (A[0, 0] * value + A[0, 1] * y[..., 1] for value in (-1, 3))
    low_1, high_1 = (A[1, 0] * y[..., 0] + A[1, 1] * value for value in (-2, 4))
    for margin, expected in zip(margins, (low_0, -high_0, low_1, -high_1), strict=True):
        assert torch.allclose(margin, expected, rtol=1e-12)


def test_the_violation_of_a_box_is_known() -> None:
    x = Box([-1], [2]).sample(50)
    assert float(violation(StayWithin(Box([-1], [2])), torch.neg, x)) == 0.0
    assert float(violation(StayWithin(Box([-1], [2])), lambda x: x, x)) == 3.0  # outward with speeds 1 and 2
    assert float(violation(StayWithin(Box([-1], [2])), lambda x: x.float(), x.float(), slack=0.5)) == 4.0


def test_conjunction_with_stability() -> None:
    x = states(40, 2)
    parts = (ExponentialStability(lambda x: x.square().sum(-1), 5), (StayWithin(Box([-1, -1], [1, 1])),))
    alone = [float(violation(part, lambda x: x, x)) for part in parts]
    assert min(alone) > 0
    assert math.isclose(float(violation(parts, lambda x: x, x)), sum(alone))


@pytest.mark.parametrize(
    "condition",
    [
        BarrierInvariance(NeuralCandidate(mlp((2, 8, 3), seed=1), 2), 0.5),
        NagumoInvariance(NeuralCandidate(mlp((2, 8, 3), seed=1), 2), band=9),
        HighOrderInvariance(NeuralCandidate(mlp((2, 8, 3), seed=1), 2), (9, 2)),
    ],
)
def test_margins_train(condition: Any) -> None:
    policy = Feedback(mlp((2, 8, 2), seed=0), Box([-1, -1], [1, 1]), at=(0, 0), control_at=(0, 0))
    field = lambda x: linear(x) + policy(x)  # noqa: E731
    violation(condition, field, states(30, 2), slack=100).backward()
    for module in (policy, condition.h):
        assert any(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())


def test_the_faces_train() -> None:
    policy = Feedback(mlp((2, 8, 2), seed=0), Box([-1, -1], [1, 1]), at=(0, 0), control_at=(0, 0))
    violation(StayWithin(Box([-1, -1], [1, 1])), policy, states(30, 2), slack=1).backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in policy.parameters())


def test_the_chain_equals_differences_along_the_flow() -> None:
    """ψ₁ and ψ₂ of a neural h along x' = Ax, whose flow is a matrix exponential."""
    h, x, step = NeuralCandidate(mlp((2, 8, 3), seed=1), 2), states(20, 2), 1e-3
    before, now, after = (h(x @ torch.linalg.matrix_exp(s * step * A).T) for s in (-1, 0, 1))
    first, second = (after - before) / (2 * step), (after - 2 * now + before) / step**2
    (clause,) = HighOrderInvariance(h, (2, 3)).clauses(linear)
    assert torch.allclose(clause.margin(x), second + 5 * first + 6 * now, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        assert torch.allclose(-clause.where[1](x), first + 2 * now, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rate", [-1, math.nan, math.inf, "fast", None, disc])
def test_wrong_rates(rate: Any) -> None:
    with pytest.raises(UsageError, match="rate is"):
        BarrierInvariance(disc, rate)
    with pytest.raises(UsageError, match=r"rates\[1\] is"):
        HighOrderInvariance(disc, (1, rate))


def test_wrong_parameters() -> None:
    for rates in ((), 1.0, "12", None):
        with pytest.raises(UsageError, match="rates is"):
            HighOrderInvariance(disc, rates)  # type: ignore[arg-type]
    for band in (0, -1, math.inf, "wide"):
        with pytest.raises(UsageError, match="band is"):
            NagumoInvariance(disc, band)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"give ctrlnet\.Box"):
        StayWithin(([-1], [1]))  # type: ignore[arg-type]


EACH = [
    BarrierInvariance(disc, 1),
    NagumoInvariance(disc),
    HighOrderInvariance(disc, (1, 1)),
    StayWithin(Box([-1, -1], [1, 1])),
]


@pytest.mark.parametrize("condition", EACH, ids=lambda condition: type(condition).__name__)
def test_wrong_systems(condition: Any) -> None:
    with pytest.raises(UsageError, match=f"{type(condition).__name__} is about x' = F.*DiscreteDecrease"):
        violation(condition, DiscreteMap(torch.neg), states(3, 2))
    with pytest.raises(ShapeError, match="field maps"):
        violation(condition, disc, states(3, 2))
    with pytest.raises(AttributeError):
        condition.h = None


@pytest.mark.parametrize("condition", [BarrierInvariance(linear, 1), NagumoInvariance(linear),
                                       HighOrderInvariance(linear, (1,))])  # fmt: skip
def test_an_h_of_the_wrong_shape_is_named(condition: Any) -> None:
    with pytest.raises(ShapeError, match="h maps"):
        condition.clauses(torch.neg)[0].margin(states(3, 2))


def test_wrong_dimension_of_the_box() -> None:
    with pytest.raises(ShapeError, match="must be 1"):
        violation(StayWithin(Box([-1], [1])), torch.neg, states(3, 2))


PUSHED = Disturbed(lambda x, d: torch.stack([x[..., 1], -x[..., 0] + d[..., 0]], -1), Box([-1], [1]))


def test_a_chain_whose_last_derivative_alone_is_disturbed() -> None:
    """h = 1 - x², x'' = -x + d: ψ₂ = -2 v² - 2 x (d - x) - 2 (a₁ + a₂) x v + a₁ a₂ (1 - x²), affine in d."""
    torch.manual_seed(0)
    x = states(1, 2).expand(4000, 2)
    condition = HighOrderInvariance(lambda x: 1 - x[..., 0].square(), (2, 3))
    (clause,) = condition.clauses(PUSHED)
    p, v = x[0, 0], x[0, 1]
    centre = -2 * v**2 + 2 * p**2 - 10 * p * v + 6 * (1 - p**2)
    margin = clause.margin(x)
    assert float(margin.min()) == pytest.approx(float(centre - 2 * p.abs()), abs=1e-12)
    assert float(margin.max()) == pytest.approx(float(centre + 2 * p.abs()), abs=1e-12)
    psi = -clause.where[1](x)
    assert torch.allclose(psi, -2 * p * v + 2 * (1 - p**2).expand(4000))
    assert float(violation(condition, PUSHED, x[:0])) == 0.0
    plant = System(
        lambda x, d: PUSHED(x, d), lambda x, d: 0 * x[..., None], state=[("x", ""), ("v", "")], control=[("u", "")],
        disturbance=PUSHED.disturbance,
    )  # fmt: skip
    loop = ClosedLoop(plant, lambda x: x[..., :1])
    assert float(condition.clauses(loop)[0].margin(x).min()) == float(margin.min())
    with pytest.raises(UsageError, match="ψ2"):
        violation(HighOrderInvariance(lambda x: x[..., 0], (1, 1, 1)), loop, x)


def test_a_chain_that_is_disturbed_too_early_is_refused_when_it_is_evaluated() -> None:
    at_once = Disturbed(lambda x, d: -x + d, Box([-1, -1], [1, 1]))
    with pytest.raises(UsageError, match="ψ1 of HighOrderInvariance depends on the disturbance"):
        violation(HighOrderInvariance(disc, (1, 1)), at_once, states(20, 2))
    with pytest.raises(UsageError, match="the last of the 3 derivatives"):
        violation(HighOrderInvariance(lambda x: x[..., 0], (1, 1, 1)), PUSHED, states(20, 2))
    violation(HighOrderInvariance(disc, (1,)), at_once, states(20, 2))
