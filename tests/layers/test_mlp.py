"""Fully connected networks."""

from __future__ import annotations

import pytest
import torch

from ctrlnet import UsageError, mlp
from ctrlnet.layers import wider


def test_equals_its_formula() -> None:
    network = mlp((2, 5, 3), seed=0)
    (W1, b1, W2, b2), x = network.parameters(), torch.randn(7, 2, dtype=torch.float64)
    assert torch.allclose(network(x), torch.tanh(x @ W1.T + b1) @ W2.T + b2)
    assert W1.dtype == torch.float64
    assert bool(torch.isfinite(torch.cat([p.flatten() for p in network.parameters()])).all())


def test_seeds_and_the_global_generator() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again, other = (mlp((2, 4, 1), seed=seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
    unseeded = mlp((2, 4, 1))[0].weight
    torch.manual_seed(3)
    assert torch.equal(unseeded, mlp((2, 4, 1))[0].weight)


def test_relu_without_bias_is_homogeneous() -> None:
    network, x = mlp((3, 16, 16, 2), "relu", bias=False, seed=0), torch.randn(9, 3, dtype=torch.float64)
    assert torch.allclose(network(4 * x), 4 * network(x))
    assert mlp((2, 1), dtype=torch.float32)(torch.zeros(2)).dtype == torch.float32


def test_errors() -> None:
    with pytest.raises(UsageError, match="Did you mean 'tanh'"):
        mlp((2, 1), "tan")
    with pytest.raises(UsageError, match="widths"):
        mlp((2,))
    with pytest.raises(UsageError, match="widths"):
        mlp((2, 0, 1))


@pytest.mark.parametrize("one", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("other", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_wider_precision_is_torch_s(one: torch.dtype, other: torch.dtype) -> None:
    assert wider(one, other) == torch.promote_types(one, other)
