"""Automatic gradient descent in operator norms, against its formula by singular values, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tanh_network import Arrays, arrays, backward, gap_after
from torch import nn

import ctrlnet
from ctrlnet import UsageError, mlp

AGD, AGDSpectral = (ctrlnet.load("optimizers", name) for name in ("agd", "agd_spectral"))


def rule(weights: Arrays, gradients: Arrays) -> None:
    parts = [np.linalg.svd(gradient, full_matrices=False) for gradient in gradients]
    scales = [math.sqrt(weight.shape[0] / weight.shape[1]) for weight in weights]
    summary = sum(s * values.sum() for s, (_, values, _) in zip(scales, parts, strict=True)) / len(weights)
    eta = math.log((1 + math.sqrt(1 + 4 * summary)) / 2)
    for weight, s, (u, _, vh) in zip(weights, scales, parts, strict=True):
        weight -= eta / len(weights) * s * (u @ vh)


def test_it_is_the_formula_over_100_steps():
    network = mlp((3, 6, 4, 2), bias=False, seed=0)
    assert gap_after(100, network, AGDSpectral(network.parameters()), rule) <= 1e-12


@pytest.mark.parametrize("bias", [False, True])
def test_every_block_moves_by_its_share_in_the_operator_norm(bias):
    """‖ΔW‖_2 L / (η s) = 1, and all singular values of ΔW are equal."""
    network = mlp((3, 6, 4, 2), bias=bias, seed=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    backward(network)
    optimizer = AGDSpectral.for_module(network)
    optimizer.step()
    for old, new in zip(before, network.parameters(), strict=True):
        change = (new.detach() - old).reshape(len(old), -1)
        shares = torch.linalg.svdvals(change) * 3 / (optimizer.last_eta * math.sqrt(change.shape[0] / change.shape[1]))
        assert torch.allclose(shares, torch.ones_like(shares), rtol=1e-10)


def test_gradients_of_rank_one_give_the_published_step():
    published, spectral = (torch.ones(4, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gradient = torch.outer(torch.arange(1.0, 5).double(), torch.arange(2.0, 8).double())
    published.grad, spectral.grad = gradient, gradient.clone()
    AGD([published]).step(), AGDSpectral([spectral]).step()
    assert torch.allclose(published, spectral, rtol=0, atol=1e-14)


def test_the_step_is_the_best_of_the_majorisation():
    """No other change of the same operator norms, and no other η, has a lower bound."""
    torch.manual_seed(0)
    network = mlp((3, 6, 4, 2), bias=False, seed=0)
    weights = list(network.parameters())
    backward(network)
    optimizer = AGDSpectral(weights)
    before = [weight.detach().clone() for weight in weights]
    optimizer.step()
    scales = [math.sqrt(len(weight) / len(weight[0])) for weight in weights]

    def bound(changes, eta):
        inner = sum(float((weight.grad * change).sum()) for weight, change in zip(weights, changes, strict=True))
        return inner + math.expm1(eta) ** 2 / 2

    eta, changes = optimizer.last_eta, [new.detach() - old for new, old in zip(weights, before, strict=True)]
    assert bound(changes, eta) == pytest.approx(-eta * optimizer.last_G + math.expm1(eta) ** 2 / 2)
    for factor in (0.9, 1.1):
        assert bound([factor * change for change in changes], factor * eta) > bound(changes, eta)
    for _ in range(100):
        other = [torch.randn_like(change) for change in changes]
        other = [eta / 3 * s * w / torch.linalg.matrix_norm(w, 2) for s, w in zip(scales, other, strict=True)]
        assert bound(other, eta) > bound(changes, eta)


def test_convolutions_are_a_matrix_for_each_place_of_the_kernel():
    weight = nn.Conv2d(3, 5, (3, 2), bias=False).double().weight
    weight.grad = torch.randn_like(weight)
    before = weight.detach().clone()
    optimizer = AGDSpectral([weight])
    optimizer.step()
    changes = (weight.detach() - before).movedim((0, 1), (-2, -1))
    sizes, expected = torch.linalg.svdvals(changes), optimizer.last_eta * math.sqrt(5 / 3 / 6)
    assert torch.allclose(sizes, torch.full_like(sizes, expected))
    nuclear = torch.linalg.matrix_norm(weight.grad.movedim((0, 1), (-2, -1)), "nuc").sum()
    assert optimizer.last_G == pytest.approx(math.sqrt(5 / 3 / 6) * float(nuclear), rel=1e-12)


def test_the_iteration_gives_the_same_weights():
    one, other = (mlp((3, 6, 4, 2), bias=False, seed=0) for _ in range(2))
    for network, polar in ((one, "svd"), (other, "iteration")):
        optimizer = AGDSpectral(network.parameters(), polar=polar)
        for _ in range(5):
            backward(network)
            optimizer.step()
    assert max(abs(a - b).max() for a, b in zip(arrays(one), arrays(other), strict=True)) < 1e-10


def test_zero_gradients_move_nothing():
    network = mlp((3, 8, 1), seed=0)
    before = arrays(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = AGDSpectral.for_module(network)
    optimizer.step()
    assert optimizer.last_eta == 0
    assert all(np.array_equal(one, other) for one, other in zip(before, arrays(network), strict=True))


def test_a_gradient_that_is_not_finite_moves_nothing():
    weight = torch.ones(3, 3, requires_grad=True)
    weight.grad = torch.full((3, 3), float("nan"))
    optimizer = AGDSpectral([weight])
    optimizer.step()
    assert optimizer.skipped == 1 and torch.equal(weight, torch.ones(3, 3))


def test_half_precision_keeps_its_dtype():
    weight = torch.ones(4, 3, dtype=torch.bfloat16, requires_grad=True)
    weight.grad = torch.randn(4, 3).bfloat16()
    AGDSpectral([weight]).step()
    assert weight.dtype == torch.bfloat16 and bool(weight.isfinite().all()) and not torch.equal(weight, weight * 0 + 1)


def test_a_method_that_does_not_exist():
    with pytest.raises(UsageError, match="allowed: 'auto', 'svd', 'iteration'"):
        AGDSpectral([torch.ones(2, 2, requires_grad=True)], polar="qr")
