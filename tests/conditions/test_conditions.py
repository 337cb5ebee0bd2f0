"""Conditions: Lie derivatives and violations with known values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from damped_pendulum import pendulum
from torch import Tensor

from ctrlnet import (
    Box,
    ClosedLoop,
    ExponentialStability,
    Feedback,
    NeuralCandidate,
    Quadratic,
    ShapeError,
    UsageError,
    exact,
    lie_derivative,
    mlp,
    trajectory_violation,
    violation,
)
from ctrlnet.conditions import Clause


def norm(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def loop() -> ClosedLoop:
    plant = pendulum()
    return ClosedLoop(plant, Feedback(mlp((2, 8, 1), seed=0), plant.limits, at=(0, 0), control_at=(0,)))


def test_lie_derivative_of_a_quadratic_along_a_linear_field() -> None:
    A, P, x = states(3, 3), torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)), states(4, 5, 3)
    derivative = lie_derivative(Quadratic(P), lambda x: x @ A.T, x)
    expected = torch.einsum("...i,ij,...j->...", x, A.T @ P + P @ A, x)
    assert torch.allclose(derivative, expected, rtol=1e-12)


def test_lie_derivative_equals_central_differences() -> None:
    V, F, x, h = NeuralCandidate(mlp((2, 8, 3), seed=1), 2), loop(), states(50, 2), 1e-5
    difference = (V(x + h * F(x)) - V(x - h * F(x))) / (2 * h)
    assert torch.allclose(lie_derivative(V, F, x), difference, rtol=1e-6, atol=1e-8)
    with torch.no_grad():
        assert torch.allclose(lie_derivative(V, F, x), difference, rtol=1e-6, atol=1e-8)


def test_lie_derivative_trains_and_transforms() -> None:
    V, F, x = NeuralCandidate(mlp((2, 8, 3), seed=1), 2), loop(), states(6, 2)
    lie_derivative(V, F, x).sum().backward()
    assert all(p.grad is not None for p in F.policy.parameters())  # type: ignore[attr-defined]
    assert all(p.grad is not None for p in V.network[0].parameters())
    rows = torch.func.vmap(lambda row: lie_derivative(V, F, row))(x)
    assert torch.allclose(rows, lie_derivative(V, F, x))
    assert torch.func.grad(lambda row: lie_derivative(V, F, row))(x[0]).shape == (2,)


def test_clauses() -> None:
    condition = ExponentialStability(norm, 0.5)
    decrease, positivity = condition.clauses(lambda x: -x)
    x = states(7, 2)
    assert (decrease.name, positivity.name) == ("decrease", "positivity")
    assert torch.allclose(decrease.margin(x), 1.5 * norm(x))
    assert torch.allclose(positivity.margin(x), norm(x))
    with pytest.raises(AttributeError):
        condition.rate = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("rate", "expected"), [(1.0, 0.0), (2.0, 0.0), (5.0, 3.0)])
def test_violation_of_pure_decay_is_known(rate: float, expected: float) -> None:
    x = states(100, 3)  # V = |x|², F = -x: V' = -2V, so the hinge is (rate - 2) V
    condition = ExponentialStability(norm, rate)
    assert math.isclose(float(violation(condition, torch.neg, x)), expected * float(norm(x).mean()), abs_tol=1e-12)
    assert math.isclose(float(violation(condition, torch.neg, x, relative=True)), expected, abs_tol=1e-9)


def test_slack_sign_and_conjunction() -> None:
    x, condition = states(100, 3), ExponentialStability(norm, 1)
    relative = violation(condition, torch.neg, x, relative=True, slack=1.5)
    assert math.isclose(float(relative), 0.5 + float(torch.relu(1.5 - norm(x)).mean()), abs_tol=1e-9)
    unstable = violation(condition, lambda x: x, x)
    assert math.isclose(float(unstable), 3 * float(norm(x).mean()))
    assert math.isclose(float(violation((condition, [condition]), lambda x: x, x)), 2 * float(unstable))
    negative = violation(ExponentialStability(lambda x: -norm(x), 1), torch.neg, x)
    assert math.isclose(float(negative), 2 * float(norm(x).mean()))  # as much from the decrease as from positivity


def test_no_violation_at_the_equilibrium() -> None:
    zero = torch.zeros(4, 2, dtype=torch.float64)
    assert float(violation(ExponentialStability(norm, 9), lambda x: x, zero, relative=True)) == 0.0


def test_the_scale_is_constant_for_the_gradient() -> None:
    size = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    condition = ExponentialStability(lambda x: size * norm(x), 5)
    violation(condition, torch.neg, states(20, 2), relative=True).backward()
    assert size.grad is not None
    assert math.isclose(float(size.grad), 1.5, rel_tol=1e-9)  # of 3 V / V.detach() with V = 2 |x|²


def test_where_restricts_the_mean() -> None:
    class Halfplane:
        def clauses(self, system: object) -> list[Clause]:
            return [Clause("left", lambda x: -torch.ones_like(x[..., 0]) * 2, where=(lambda x: x[..., 0],))]

    x = torch.tensor([[-1.0, 0], [-1, 0], [1, 0], [2, 0]])
    assert float(violation(Halfplane(), torch.neg, x)) == 2.0
    assert float(violation(Halfplane(), torch.neg, x[2:])) == 0.0


def test_along_trajectories() -> None:
    x0, times = states(5, 2), torch.linspace(0, 1, 41, dtype=torch.float64)
    condition = ExponentialStability(norm, 3)
    visited = x0 * torch.exp(-times)[:, None, None]
    loss = trajectory_violation(condition, torch.neg, x0, times)
    assert math.isclose(float(loss), float(norm(visited).mean()), rel_tol=1e-7)
    relative = trajectory_violation(condition, torch.neg, x0, [0, 1, 2], step=0.1, relative=True)
    assert math.isclose(float(relative), 1.0, rel_tol=1e-9)
    F = loop()
    trajectory_violation(ExponentialStability(norm, 9), F, x0, times).backward()
    assert all(p.grad is not None for p in F.policy.parameters())  # type: ignore[attr-defined]


def test_a_diverging_trajectory_counts_as_far_as_it_goes() -> None:
    x0 = torch.ones(1, 1, dtype=torch.float64)
    condition, times = ExponentialStability(norm, 1), torch.linspace(0, 9, 10)
    loss = trajectory_violation(condition, lambda x: x**3, x0, times, within=Box([-2], [2]))
    assert float(loss) == 3.0  # only x = 1 is inside: V' + V = 2 + 1
    assert float(trajectory_violation(condition, lambda x: x**3, x0, times, within=Box([2], [3]))) == 0.0


def test_exact_rate() -> None:
    assert ExponentialStability(norm, exact("0.1"), at=(0, 0)).rate == exact("0.1")


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, "fast", None])
def test_wrong_rates(rate: Any) -> None:
    with pytest.raises(UsageError, match="rate is"):
        ExponentialStability(norm, rate)


def test_wrong_calls() -> None:
    x, condition = states(4, 2), ExponentialStability(norm, 1)
    with pytest.raises(ShapeError, match="field maps"):
        violation(condition, norm, x)
    with pytest.raises(ShapeError, match="V maps"):
        violation(ExponentialStability(lambda x: x, 1), torch.neg, x)
    with pytest.raises(ShapeError, match="floating-point"):
        violation(condition, torch.neg, torch.ones(2, 2, dtype=torch.int64))
    for verb in (lambda F: violation(condition, F, x), lambda F: lie_derivative(norm, F, x)):
        for field, words in (
            (pendulum(), "ClosedLoop"),
            (lambda t, x: x, "timed"),
            (lambda x: None, "NoneType"),
            (lambda x: x.float(), "shape and dtype"),
        ):
            with pytest.raises(UsageError, match=words):
                verb(field)
    with pytest.raises(UsageError, match="no clauses"):
        violation((), torch.neg, x)
    with pytest.raises(UsageError, match="no condition"):
        violation(("V",), torch.neg, x)  # type: ignore[arg-type]
