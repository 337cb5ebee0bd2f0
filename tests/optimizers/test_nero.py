"""Nero against its formula in numpy, its invariants, and the rows that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_oracle import drawn, gap, run
from torch import nn

import ctrlnet
from ctrlnet import UsageError

Nero = ctrlnet.load("optimizers", "nero")


def balanced(weight: np.ndarray) -> np.ndarray:
    rows = weight.reshape(len(weight), -1)
    rows = rows - rows.mean(1, keepdims=True) if rows.shape[1] > 1 else rows
    return (rows / np.sqrt((rows**2).sum(1, keepdims=True))).reshape(weight.shape)


@pytest.mark.parametrize("constrain", [True, False])
def test_it_is_the_published_rule_over_100_steps(constrain):
    weights, gradients = drawn(100)
    moved, _ = run(lambda params: Nero(params, lr=0.02, beta=0.9, constrain=constrain), weights, gradients)
    for place, weight in enumerate(weights):
        matrix = weight.ndim > 1
        weight = balanced(weight) if matrix and constrain else weight
        rows = weight.reshape(len(weight), -1)
        scale = np.sqrt((rows**2).sum(1)).mean()
        moment = np.zeros((len(weight), 1))
        for t, row in enumerate(gradients, 1):
            gradient = row[place].reshape(rows.shape)
            moment = 0.9 * moment + 0.1 * (gradient**2).sum(1, keepdims=True)
            root = np.sqrt(moment / (1 - 0.9**t))
            rows = rows - 0.02 * scale * np.divide(gradient, root, out=np.zeros_like(rows), where=root > 0)
            rows = balanced(rows) if matrix and constrain else rows
        weights[place] = rows.reshape(weight.shape)
    assert gap(moved, weights) <= 1e-12


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([torch.float32, torch.float64]))
def test_rows_have_mean_zero_and_norm_one_after_every_step(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    matrix, kernel = (nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in ((6, 9), (3, 2, 2, 2)))
    optimizer, rounding = Nero([matrix, kernel], lr=0.1), 20 * torch.finfo(dtype).eps
    for _ in range(6):
        for weight in (matrix, kernel):
            rows = weight.detach().flatten(1)
            assert float(rows.mean(1).abs().max()) <= rounding
            assert float((rows.norm(dim=1) - 1).abs().max()) <= rounding
            weight.grad = torch.randn(weight.shape, generator=generator, dtype=dtype)
        optimizer.step()


def test_building_it_projects_once_and_leaves_vectors_alone():
    layer = nn.Linear(5, 4)
    bias = layer.bias.detach().clone()
    Nero.for_module(layer)
    first = layer.weight.detach().clone()
    Nero.for_module(layer)
    assert torch.equal(layer.weight, first) and torch.equal(layer.bias, bias)
    free = nn.Linear(5, 4)
    kept = free.weight.detach().clone()
    Nero([{"params": [free.weight], "constrain": False}])
    assert torch.equal(free.weight, kept)


@pytest.mark.parametrize("row", [torch.zeros(5), torch.full((5,), 0.1), torch.full((5,), -1e6)])
def test_a_row_without_direction_is_refused(row):
    layer = nn.Linear(5, 4)
    with torch.no_grad():
        layer.weight[2] = row
    before = layer.weight.detach().clone()
    with pytest.raises(UsageError, match=r"row 2 of 'weight' is zero or constant.*constrain=False"):
        Nero.for_module(layer)
    assert torch.equal(layer.weight, before)


def test_one_input_a_neuron_keeps_its_sign():
    layer = nn.Linear(1, 4, bias=False)
    signs = layer.weight.detach().sign()
    Nero.for_module(layer)
    assert torch.equal(layer.weight, signs)


def test_a_vector_of_zeros_moves_by_the_scale_of_the_authors():
    bias = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    bias.grad = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64)
    Nero([bias], lr=0.5).step()
    assert torch.allclose(bias, torch.tensor([-0.005, 0.005, 0.0], dtype=torch.float64))
