"""Automatic gradient descent against its formula, written again in numpy, and its invariants."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ctrlnet
from ctrlnet import NonFinite, UsageError, mlp

AGD = ctrlnet.load("optimizers", "agd")


def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 3))
    return x, np.sin(x[:, :1]) * x[:, 1:2]


def oracle(weights: list[np.ndarray], steps: int) -> tuple[list[np.ndarray], float]:
    """The published rule on mean((W3 tanh(W2 tanh(W1 x)) - y)²), gradients by hand, float64."""
    x, y = data()
    weights = [weight.copy() for weight in weights]
    for _ in range(steps):
        activations = [x]
        for weight in weights[:-1]:
            activations.append(np.tanh(activations[-1] @ weight.T))
        delta = 2 * (activations[-1] @ weights[-1].T - y) / y.size
        gradients = []
        for weight, activation in zip(reversed(weights), reversed(activations), strict=True):
            gradients.insert(0, delta.T @ activation)
            delta = (delta @ weight) * (1 - activation**2)
        scales = [math.sqrt(weight.shape[0] / weight.shape[1]) for weight in weights]
        norms = [math.sqrt(float((gradient * gradient).sum())) for gradient in gradients]
        summary = sum(s * norm for s, norm in zip(scales, norms, strict=True)) / len(weights)
        eta = math.log((1 + math.sqrt(1 + 4 * summary)) / 2)
        for weight, gradient, s, norm in zip(weights, gradients, scales, norms, strict=True):
            weight -= eta / len(weights) * s * gradient / norm
    return weights, eta


def gradients(module: nn.Module) -> None:
    x, y = (torch.from_numpy(array) for array in data())
    module.zero_grad()
    (module(x) - y).square().mean().backward()


def test_it_is_the_published_rule_over_100_steps():
    network = mlp((3, 16, 8, 1), bias=False, seed=0)
    expected, eta = oracle([parameter.detach().numpy() for parameter in network.parameters()], 100)
    optimizer = AGD(network.parameters())
    for _ in range(100):
        gradients(network)
        optimizer.step()
    gap = max(abs(p.detach().numpy() - w).max() for p, w in zip(network.parameters(), expected, strict=True))
    assert gap <= 1e-12
    assert optimizer.eta == pytest.approx(eta, abs=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_every_block_moves_by_its_share(bias):
    """‖ΔW‖_F = (η / L) s for weights, for biases as columns, and L counts the weights."""
    network = mlp((3, 16, 8, 1), bias=bias, seed=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    gradients(network)
    optimizer = AGD.for_module(network)
    optimizer.step()
    assert optimizer.depth == 3
    for old, new in zip(before, network.parameters(), strict=True):
        rows, columns = (*new.shape, 1)[:2]
        share = float((new.detach() - old).norm()) * 3 / (optimizer.eta * math.sqrt(rows / columns))
        assert share == pytest.approx(1, 1e-12)


@given(st.floats(1e-12, 1e12))
def test_eta_depends_on_the_loss_as_the_formula_says(factor):
    weight = torch.ones(2, 8, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.full_like(weight, factor / 4)
    optimizer = AGD([weight])
    optimizer.step()
    summary = math.sqrt(2 / 8) * factor
    assert optimizer.gradient_summary == pytest.approx(summary, rel=1e-12)
    assert math.exp(optimizer.eta) * math.expm1(optimizer.eta) == pytest.approx(summary, rel=1e-9)  # (e^η − 1) e^η = G


def test_convolutions_are_a_matrix_for_each_place_of_the_kernel():
    weight = nn.Conv2d(3, 5, (3, 2), bias=False).double().weight
    weight.grad = torch.randn_like(weight)
    before = weight.detach().clone()
    optimizer = AGD([weight])
    optimizer.step()
    steps = (weight - before).norm(dim=(0, 1))
    assert torch.allclose(steps, torch.full((3, 2), optimizer.eta * math.sqrt(5 / 3 / 6), dtype=torch.float64))
    assert optimizer.gradient_summary == pytest.approx(
        math.sqrt(5 / 3 / 6) * float(weight.grad.norm(dim=(0, 1)).sum()), rel=1e-12
    )


def test_zero_gradients_move_nothing():
    network = mlp((3, 8, 1), seed=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = AGD.for_module(network)
    optimizer.step()
    assert optimizer.eta == 0 and all(map(torch.equal, before, network.parameters()))


def test_one_zero_gradient_moves_nothing_else_wrongly():
    network = mlp((3, 8, 1), bias=False, seed=0)
    gradients(network)
    first, second = network.parameters()
    first.grad.zero_()
    before = first.detach().clone(), second.detach().clone()
    AGD(network.parameters()).step()
    assert torch.equal(first, before[0]) and not torch.equal(second, before[1])
    assert bool(second.isfinite().all())


def test_missing_gradients_count_as_zero():
    network = mlp((3, 8, 1), bias=False, seed=0)
    twin = copy.deepcopy(network)
    gradients(network), gradients(twin)
    next(network.parameters()).grad = None
    next(twin.parameters()).grad.zero_()
    AGD(network.parameters()).step(), AGD(twin.parameters()).step()
    assert all(map(torch.equal, network.parameters(), twin.parameters()))
    AGD(mlp((3, 8, 1), bias=False).parameters()).step()  # no gradient at all: nothing to do


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_poisons_nothing(poison, caplog):
    network = mlp((3, 8, 1), seed=0)
    gradients(network)
    list(network.parameters())[2].grad[0, 3] = poison
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = AGD.for_module(network)
    optimizer.step()
    assert optimizer.skipped == 1 and all(map(torch.equal, before, network.parameters()))
    assert "2.weight" in caplog.text
    with pytest.raises(NonFinite, match=r"2\.weight"):
        AGD.for_module(network, on_nonfinite="raise").step()
    assert all(map(torch.equal, before, network.parameters()))


@given(st.floats(-300, 0), st.sampled_from([torch.float32, torch.float64]))
def test_tiny_gradients_give_finite_weights(exponent, dtype):
    small, large = (torch.ones(4, 4, dtype=dtype, requires_grad=True) for _ in range(2))
    small.grad = torch.full_like(small, 10**exponent)
    large.grad = torch.full_like(large, 100.0)
    AGD([small, large]).step()
    assert bool(small.isfinite().all()) and bool(large.isfinite().all())


def test_biases_are_refused_treated_or_left_alone():
    network = mlp((3, 8, 1), seed=0)
    with pytest.raises(UsageError, match="bias='block'"):
        AGD(network.parameters())
    with pytest.raises(UsageError, match=r"'0\.bias' has shape \(8,\)"):
        AGD(network.named_parameters())
    gradients(network)
    bias = network[0].bias.detach().clone()
    AGD.for_module(network, bias="frozen").step()
    assert torch.equal(network[0].bias, bias)
    AGD.for_module(network, bias="block").step()
    assert not torch.equal(network[0].bias, bias)


@pytest.mark.parametrize("layer", [nn.LayerNorm(8), nn.BatchNorm1d(8), nn.GroupNorm(2, 8)])
def test_gains_are_refused(layer):
    with pytest.raises(UsageError, match=f"gain of {type(layer).__name__} at '1'"):
        AGD.for_module(nn.Sequential(nn.Linear(3, 8), layer))


def test_what_cannot_be_meant_is_refused():
    weight = torch.ones(2, 2, requires_grad=True)
    for options in ({"bias": "blok"}, {"on_nonfinite": "ignore"}, {"lr": -1.0}, {"lr": math.nan}, {"depth": 0}):
        with pytest.raises(UsageError):
            AGD([weight], **options)
    with pytest.raises(UsageError, match="complex"):
        AGD([torch.ones(2, 2, dtype=torch.complex64, requires_grad=True)])
    weight.grad = torch.eye(2).to_sparse()
    with pytest.raises(UsageError, match="dense"):
        AGD([weight]).step()


def test_initialize_draws_semi_orthogonal_weights():
    network = nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 9), nn.Linear(9, 2), nn.Conv2d(2, 3, 2)).double()
    AGD.for_module(network).initialize(torch.Generator().manual_seed(0))
    for layer in list(network)[:3]:
        rows, columns = layer.weight.shape
        values = torch.linalg.svdvals(layer.weight)
        assert torch.allclose(values, torch.full_like(values, math.sqrt(rows / columns)))
        assert not layer.bias.any()
    values = torch.linalg.svdvals(network[3].weight[:, :, 1, 0])
    assert torch.allclose(values, torch.full_like(values, math.sqrt(3 / 2 / 4)))


def test_maximize_and_schedulers():
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    optimizer = AGD([weight], lr=2.0, maximize=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    moves = []
    for _ in range(3):
        before = weight.detach().clone()
        optimizer.step()
        schedule.step()
        moves.append(float((weight.detach() - before).norm()) / optimizer.eta)
    assert moves == pytest.approx([2, 1, 0.5]) and bool((weight > 1).all())


def test_it_keeps_no_state_and_can_be_copied():
    network = mlp((3, 8, 1), seed=0)
    optimizer = AGD.for_module(network, depth=5)
    gradients(network)
    optimizer.step()
    assert not optimizer.state_dict()["state"]
    assert copy.deepcopy(optimizer).depth == 5
