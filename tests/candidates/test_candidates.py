"""Candidates: zero at the equilibrium, positive elsewhere, whatever the weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ctrlnet import NeuralCandidate, NonFinite, Quadratic, ShapeError, UsageError, mlp

P = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
AT = (0.25, -1.5)


def states(count: int = 200) -> Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def neural(seed: int = 0, activation: str = "tanh") -> NeuralCandidate:
    return NeuralCandidate(mlp((2, 16, 4), activation, seed=seed), P, AT, scale=(2, 0.5))


def test_quadratic_is_its_matrix() -> None:
    V, d = Quadratic(P, AT), states() - torch.tensor(AT)
    assert torch.allclose(V(states()), (d @ P * d).sum(-1))
    assert torch.allclose(V.P, P)
    assert torch.allclose(Quadratic(2)(states()), states().square().sum(-1))


def test_neural_is_its_formula() -> None:
    V, x = neural(), states()
    divisor = torch.tensor([2.0, 0.5], dtype=torch.float64)
    features = V.network(x / divisor) - V.network(V.at / divisor)
    assert torch.allclose(V(x), Quadratic(P, AT)(x) + features.square().sum(-1))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["tanh", "relu"]))
def test_positive_definite_for_all_weights(seed: int, activation: str) -> None:
    V = neural(seed, activation)
    with torch.no_grad():
        for parameter in V.network.parameters():
            parameter.mul_(3).sub_(0.5)
    assert float(V(V.at).detach()) == 0.0
    assert bool((V(states()) >= Quadratic(P, AT)(states())).all())
    assert float(V(states()).detach().min()) > 0


@pytest.mark.parametrize("V", [Quadratic(P, AT), neural()])
def test_shapes_and_torch_func(V: Callable[[Tensor], Tensor]) -> None:
    x = states(6)
    assert V(x.reshape(2, 3, 2)).shape == (2, 3)
    assert V(x[0]).shape == ()
    assert torch.allclose(torch.func.vmap(torch.func.grad(V))(x), torch.stack([torch.func.jacfwd(V)(row) for row in x]))


def test_everything_trains() -> None:
    V = neural()
    V(states()).mean().backward()
    assert all(parameter.grad is not None for parameter in V.parameters())
    assert {name for name, _ in V.named_buffers()} == {"at", "reciprocal_scale"}


def test_dtypes() -> None:
    assert Quadratic(2, dtype=torch.float32)(torch.ones(2)).dtype == torch.float32
    assert NeuralCandidate(mlp((2, 3), dtype=torch.float32), 2)(torch.ones(2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Quadratic(-P), UsageError, "positive definite"),
        (lambda: Quadratic(P + torch.tensor([[0, 0.1], [0, 0]])), UsageError, "symmetric"),
        (lambda: Quadratic(torch.full((2, 2), torch.nan)), UsageError, "positive definite"),
        (lambda: Quadratic(P[:1]), ShapeError, "square"),
        (lambda: Quadratic(0), UsageError, "1 or more"),
        (lambda: Quadratic(P, (0, 0, 0)), ShapeError, "at has shape"),
        (lambda: NeuralCandidate(mlp((3, 4)), P), ShapeError, "network fails"),
        (lambda: NeuralCandidate(nn.Flatten(0), P, scale=(0.3, 1)), UsageError, "power of two"),
        (lambda: Quadratic(2)(torch.zeros(3, dtype=torch.float64)), ShapeError, "must be 2"),
    ],
)
def test_errors(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_nan_weights() -> None:
    network = mlp((2, 3))
    nn.init.constant_(network[0].weight, torch.nan)
    with pytest.raises(NonFinite, match="weights"):
        NeuralCandidate(network, 2)


@pytest.mark.parametrize("neural", [True, False])
def test_states_of_another_precision(neural: bool) -> None:
    x = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    single: torch.nn.Module = Quadratic(2, dtype=torch.float32)
    if neural:
        single = NeuralCandidate(mlp((2, 8, 3), seed=0, dtype=torch.float32), 2)
    assert single(x).dtype == torch.float64
    assert single(x.float()).dtype == torch.float32
    assert torch.allclose(single(x).float(), single(x.float()), rtol=1e-5)
    assert torch.equal(single.double()(x.float()), single(x.float().double()).float())
