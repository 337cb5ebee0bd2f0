"""Fromage against its formula in numpy, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rule_oracle import drawn, gap, run

import ctrlnet

Fromage = ctrlnet.load("optimizers", "fromage")


def parameter(values: torch.Tensor, gradient: torch.Tensor) -> torch.nn.Parameter:
    weight = torch.nn.Parameter(values.clone())
    weight.grad = gradient.clone()
    return weight


@pytest.mark.parametrize("foreach", [False, True])
def test_it_is_the_published_rule_over_100_steps(foreach):
    weights, gradients = drawn(100)
    moved, _ = run(lambda params: Fromage(params, lr=0.03, foreach=foreach), weights, gradients)
    for row in gradients:
        for weight, gradient in zip(weights, row, strict=True):
            step = 0.03 * np.sqrt((weight**2).sum()) / np.sqrt((gradient**2).sum()) * gradient
            weight -= step
            weight /= np.sqrt(1 + 0.03**2)
    assert gap(moved, weights) <= 1e-12


@given(st.integers(0, 2**32), st.floats(1e-4, 1.0), st.sampled_from([torch.float32, torch.float64]))
def test_a_gradient_orthogonal_to_the_tensor_does_not_make_it_grow(seed, lr, dtype):
    generator = torch.Generator().manual_seed(seed)
    W, g = torch.randn(2, 6, 9, generator=generator, dtype=dtype)
    weight = parameter(W, g - (g * W).sum() / W.square().sum() * W)
    Fromage([weight], lr=lr).step()
    assert float(weight.detach().norm() / W.norm()) <= 1 + 100 * torch.finfo(dtype).eps


@pytest.mark.parametrize("foreach", [False, True])
def test_a_norm_of_zero_makes_a_plain_step(foreach):
    g, W = torch.full((3, 2), 2.0), torch.ones(3, 2)
    zero, still = parameter(torch.zeros(3, 2), g), parameter(W, torch.zeros(3, 2))
    Fromage([zero, still], lr=0.5, foreach=foreach).step()
    assert torch.allclose(zero, -0.5 * g / 1.25**0.5) and torch.allclose(still, W / 1.25**0.5)


def test_the_norm_stays_below_its_bound():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(4, 4, generator=generator)
    weight, zero = parameter(W, -W), parameter(torch.zeros(3), torch.ones(3))
    optimizer = Fromage([weight, zero], lr=0.5, p_bound=1.5)
    for _ in range(10):
        optimizer.step()
    assert float(weight.detach().norm() / W.norm()) == pytest.approx(1.5, 1e-6)
    assert not zero.any()
