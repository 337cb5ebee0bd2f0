"""Seven and eight states: an observer beside its plant, and statements that are a little more than true."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    Budget,
    Coordinates,
    DiscreteDecrease,
    DiscreteMap,
    ExponentialStability,
    Quadratic,
    Verdict,
    certify,
    exact,
    linearize,
    lyapunov_equation,
)
from ctrlnet.checker import check_bytes
from tests.prover.mutations import opened, rehashed

LONG = Budget(seconds=600, boxes=10**7)
MANY = [7, pytest.param(8, marks=pytest.mark.slow)]


def vehicle(x: Tensor, u: Tensor) -> Tensor:
    """Position and velocity in the plane, with drag, in a valley; u is an acceleration."""
    place, velocity = x[..., :2], x[..., 2:]
    return torch.cat([velocity, u - velocity / 2 - torch.sin(place) / 4], -1)


def policy(estimate: Tensor) -> Tensor:
    """Two tanh neurons, which saturate at 2."""
    return -2 * torch.tanh(estimate[..., :2] / 2 + exact("0.75") * estimate[..., 2:])


def observed(s: Tensor) -> Tensor:
    """The vehicle under a policy of the estimate of a linear observer that measures the position: (x, x - estimate)."""
    x, error = s[..., :4], s[..., 4:]
    estimate, innovation = x - error, 4 * error[..., :2]
    u, motion = policy(estimate), vehicle(x, policy(estimate))
    place, velocity = estimate[..., :2], estimate[..., 2:]
    model = torch.cat([velocity + innovation, u - velocity / 2 - place / 4 + innovation], -1)
    return torch.cat([motion, motion - model], -1)


def lyapunov(field: Callable[[Tensor], Tensor], n: int) -> Tensor:
    """P of V = xᵀPx, of the linearised loop."""
    A, one = linearize(field, torch.zeros(n, dtype=torch.float64)), torch.eye(n, dtype=torch.float64)
    return lyapunov_equation(A + 0.1 * one, one)


@pytest.mark.slow
def test_an_observer_and_the_policy_of_its_estimate_are_certified_together() -> None:
    P = lyapunov(observed, 8)
    y, level = Coordinates(P), 0.06
    verdict = certify(
        y.condition(ExponentialStability(Quadratic(P), exact("0.01"))), y.system(observed), y.box(level), level=level,
        budget=LONG,
    )  # fmt: skip
    assert verdict.status == "certified", verdict.reason
    assert verdict.level == level and verdict.boxes < 30_000


@pytest.mark.slow
def test_in_discrete_time_too() -> None:
    """Euler's rule, eight steps a second."""
    step = exact("1/8")
    system = DiscreteMap(lambda s: s + step * observed(s))
    P = lyapunov(observed, 8)
    y, level = Coordinates(P), 0.002
    condition = y.condition(DiscreteDecrease(Quadratic(P), exact("0.001")))
    verdict = certify(condition, y.system(system), y.box(level), level=level, budget=LONG)
    assert verdict.status == "certified", verdict.reason


def ring(n: int) -> Callable[[Tensor], Tensor]:
    """x' = -x, next to the origin, and less what the neighbours make of it: V = |x|² falls at the rate 2, then less."""
    return lambda x: -x + x * x.roll(1, -1) * x.roll(2, -1)


@cache
def proof(n: int) -> Verdict:
    V, y = Quadratic(torch.eye(n, dtype=torch.float64)), Coordinates(torch.eye(n, dtype=torch.float64))
    return certify(y.condition(ExponentialStability(V, exact("0.5"))), y.system(ring(n)), y.box(0.6), level=0.6)


@pytest.mark.parametrize("n", MANY)
def test_a_network_of_many_states(n: int) -> None:
    verdict = proof(n)
    assert verdict.status == "certified", verdict.reason
    assert set("pxe") <= set(opened(verdict.certificate)["proof"]["interior"])


@pytest.mark.parametrize("n", MANY)
def test_what_is_a_little_more_than_true_is_not_confirmed(n: int) -> None:
    certificate = proof(n).certificate
    assert check_bytes(certificate).ok
    for name, value in (("rate", "2.01"), ("level", "1.5"), ("equilibrium", ["1/1000"] + ["0"] * (n - 1))):
        document = opened(certificate)
        document["statement"][name] = value
        assert not check_bytes(rehashed(document)).ok, name


@pytest.mark.parametrize("n", MANY)
def test_trees_that_prove_less_than_they_say_are_not_confirmed(n: int) -> None:
    certificate = proof(n).certificate
    tree = opened(certificate)["proof"]["interior"]
    forged = [tree.replace("p", "x"), tree.replace("p", "e"), tree.replace("e", "x"), "p", "x", tree[:-1], tree + "p"]
    for other in set(forged) - {tree}:
        document = opened(certificate)
        document["proof"]["interior"] = other
        assert not check_bytes(rehashed(document)).ok, other[:9]
