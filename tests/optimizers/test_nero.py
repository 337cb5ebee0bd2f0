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


def drawn_pair(dtypes: tuple[torch.dtype, torch.dtype]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    pair = [
        nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        for shape, dtype in zip(((6, 5), (4,)), dtypes, strict=True)
    ]
    for weight in pair:
        weight.grad = torch.randn(weight.shape, generator=generator).to(weight.dtype)
    return pair


def test_tensors_of_two_precisions_in_a_group_move_as_by_themselves():
    together, apart = (drawn_pair((torch.float64, torch.float32)) for _ in range(2))
    one, others = Nero(together), [Nero([weight]) for weight in apart]
    for optimizer in (one, *others) * 4:
        optimizer.step()
    assert torch.allclose(together[0], apart[0], rtol=1e-12, atol=1e-14)
    assert torch.allclose(together[1], apart[1], rtol=1e-6)


def test_a_state_that_moves_in_memory_is_followed():
    still, moving = (drawn_pair((torch.float64, torch.float64)) for _ in range(2))
    one, other = Nero(still), Nero(moving)
    for _ in range(3):
        one.step(), other.step()
        for state in other.state.values():
            state["moment"].share_memory_()
            state["step"].data = state["step"].clone()
    assert all(map(torch.equal, still, moving))
    assert all(int(state["step"]) == 3 for state in other.state.values())


def test_a_gradient_that_comes_and_goes():
    """The rows of a part are those of the weights that have a gradient now."""
    alone, pair = drawn_pair((torch.float64, torch.float64))[0], drawn_pair((torch.float64, torch.float64))
    one, other = Nero([alone]), Nero(pair)
    for has in (True, False, True):
        pair[1].grad = torch.ones(4, dtype=torch.float64) if has else None
        one.step(), other.step()
    assert torch.equal(alone, pair[0])
    assert [int(other.state[weight]["step"]) for weight in pair] == [3, 2]
