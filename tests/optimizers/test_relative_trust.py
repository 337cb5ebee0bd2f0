"""Relative steps, against their formula and their invariant."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tanh_network import Arrays, backward, gap_after
from torch import nn

import ctrlnet
from ctrlnet import mlp

RelativeTrust = ctrlnet.load("optimizers", "relative_trust")


def rule(weights: Arrays, gradients: Arrays) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
        size = np.linalg.norm(weight) / math.sqrt(min(weight.shape))
        weight -= 0.1 / len(weights) * size * gradient / np.linalg.norm(gradient)


def test_it_is_the_formula_over_100_steps():
    network = mlp((3, 16, 8, 2), bias=False, seed=0)
    assert gap_after(100, network, RelativeTrust(network.parameters(), lr=0.1), rule) <= 1e-12


def test_every_matrix_moves_by_the_same_share_of_itself():
    network = mlp((3, 16, 8, 2), seed=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    backward(network)
    RelativeTrust.for_module(network, lr=0.3).step()
    for old, new in zip(before, network.parameters(), strict=True):
        size = old.norm() / math.sqrt(min(old.shape)) if old.ndim == 2 else math.sqrt(len(old))
        assert float((new.detach() - old).norm() / size) == pytest.approx(0.1, rel=1e-12)


def test_a_network_as_a_function_moves_by_deep_relative_trust():
    """‖Δf‖ ≤ ∏‖W_k‖ (∏(1 + ‖ΔW_k‖/‖W_k‖) − 1) ‖x‖ for relu."""
    network = mlp((3, 16, 8, 2), "relu", bias=False, seed=0)
    optimizer = RelativeTrust.for_module(network, lr=0.5)
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    old, y = [weight.detach().clone() for weight in network.parameters()], network(x).detach()
    backward(network)
    optimizer.step()
    sizes = [float(torch.linalg.matrix_norm(weight, 2)) for weight in old]
    moves = [float(torch.linalg.matrix_norm(n.detach() - o, 2)) for n, o in zip(network.parameters(), old, strict=True)]
    bound = math.prod(sizes) * (math.prod(1 + move / size for move, size in zip(moves, sizes, strict=True)) - 1)
    assert bool(((network(x) - y).norm(dim=1) <= bound * x.norm(dim=1)).all())


def test_convolutions_move_place_by_place():
    weight = nn.Conv2d(3, 5, 2, bias=False).double().weight
    weight.grad = torch.randn_like(weight)
    before = weight.detach().clone()
    RelativeTrust([weight], lr=0.1).step()
    moved, size = (weight.detach() - before).norm(dim=(0, 1)), before.norm(dim=(0, 1)) / math.sqrt(3)
    assert torch.allclose(moved, 0.1 * size)


def test_zero_stays_zero():
    weight = torch.zeros(3, 2, requires_grad=True)
    weight.grad = torch.ones(3, 2)
    RelativeTrust([weight]).step()
    assert not weight.any()
