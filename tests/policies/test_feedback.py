"""Feedback: the equilibrium, saturation, scaling, errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctrlnet import Box, Feedback, NonFinite, ShapeError, UsageError, mlp

LIMITS = Box([-6, -0.75], [6, 0.75])


def policy(seed: int = 0, activation: str = "tanh", at: tuple[float, ...] = (0.3, -0.7)) -> Feedback:
    return Feedback(mlp((2, 16, 16, 2), activation, seed=seed), LIMITS, at=at, control_at=(0.1, -0.2), scale=(4, 8))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from(["tanh", "relu"]), st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_equilibrium_control_bit_for_bit(seed: int, activation: str, at: tuple[float, float]) -> None:
    pi = policy(seed, activation, at)
    assert torch.equal(pi(pi.at), pi.control_at)
    assert torch.allclose(pi(pi.at.expand(5, 3, 2)), pi.control_at, atol=1e-13)


def test_formula() -> None:
    pi = policy()
    x = 0.2 * torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + pi.at
    divisor = torch.tensor([4.0, 8.0], dtype=torch.float64)
    network = pi.network(x / divisor) - pi.network(pi.at / divisor) + torch.tensor([0.1, -0.2], dtype=torch.float64)
    assert torch.equal(pi(x), network.clamp(LIMITS.lower, LIMITS.upper))


def test_saturation_is_exact_and_reached() -> None:
    x = Box([-1e3, -1e3], [1e3, 1e3]).sample(500, torch.Generator().manual_seed(0))
    u = policy(activation="relu")(x)
    assert bool(LIMITS.contains(u).all())
    assert bool((u == LIMITS.upper).any(0).all())
    assert bool((u == LIMITS.lower).any(0).all())


def test_unlimited() -> None:
    pi = Feedback(mlp((2, 1), seed=0), at=(0, 0), control_at=(0,))
    assert float(pi(torch.tensor([1e6, 0.0], dtype=torch.float64)).detach().abs()) > 1e3
    assert set(pi.state_dict()) == {"network.0.weight", "network.0.bias", "at", "control_at", "reciprocal_scale"}


def test_the_reference_value_follows_the_weights() -> None:
    pi = policy()
    with torch.no_grad():
        for parameter in pi.parameters():
            parameter.mul_(2).add_(0.1)
    assert torch.equal(pi(pi.at), pi.control_at)


def test_float32() -> None:
    network = mlp((2, 8, 1), seed=0, dtype=torch.float32)
    pi = Feedback(network, Box([-1], [1]), at=(0, 0), control_at=(0,))
    assert pi(torch.ones(3, 2)).dtype == torch.float32
    assert pi(torch.zeros(2)).tolist() == [0.0]


def test_torch_func() -> None:
    pi, x = policy(), torch.tensor([0.2, -0.6], dtype=torch.float64)
    jacobian = torch.func.jacrev(pi)(x)
    assert torch.allclose(jacobian, torch.func.jacfwd(pi)(x))
    batch = x + torch.zeros(4, 2, dtype=torch.float64)
    assert torch.allclose(torch.func.vmap(pi)(batch), pi(batch))
    parameters = dict(pi.named_parameters())
    assert torch.equal(torch.func.functional_call(pi, parameters, (x,)), pi(x))


def build(**changes: object) -> Feedback:
    options: dict[str, object] = {"limits": Box([-1], [1]), "at": (0, 0), "control_at": (0,), **changes}
    network = options.pop("network", mlp((2, 4, 1), seed=0))
    return Feedback(network, **options)  # type: ignore[arg-type]


def broken(network: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        next(network.parameters())[0, 0] = torch.nan
    return network


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"control_at": (1.5,)}, UsageError, "outside the limits"),
        ({"control_at": (0, 0)}, ShapeError, "must give"),
        ({"limits": Box([-1, -1], [1, 1])}, ShapeError, "control_at"),
        ({"at": (0, 0, 0)}, ShapeError, "network fails"),
        ({"at": (0, torch.nan)}, NonFinite, "at is"),
        ({"scale": (3, 1)}, UsageError, "power of two"),
        ({"scale": (-2, 1)}, UsageError, "power of two"),
        ({"scale": (2,)}, ShapeError, "scale"),
        ({"network": broken(mlp((2, 1)))}, NonFinite, "0.weight"),
    ],
)
def test_errors(changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build(**changes)


def test_wrong_state() -> None:
    wrong: Tensor = torch.zeros(4, 3, dtype=torch.float64)
    with pytest.raises(ShapeError, match="must be 2"):
        policy()(wrong)


def test_states_of_another_precision_than_the_network() -> None:
    """float32 weights are exact float64 numbers, so a float64 state gets the control of those."""
    single = Feedback(mlp((2, 8, 1), seed=0, dtype=torch.float32), Box([-1], [1]), at=(0.5, 0), control_at=(0.25,))
    double = Feedback(mlp((2, 8, 1), seed=0).float().double(), Box([-1], [1]), at=(0.5, 0), control_at=(0.25,))
    double.network.load_state_dict(single.network.state_dict())
    x = Box([-2, -2], [2, 2]).sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(single(x), double(x))
    assert single(x.float()).dtype == double(x.float()).dtype == torch.float32
    assert torch.allclose(double(x.float()), single(x.float()), atol=1e-6)
    single(x).sum().backward()
    assert all(weight.grad is not None and weight.grad.dtype == torch.float32 for weight in single.parameters())
