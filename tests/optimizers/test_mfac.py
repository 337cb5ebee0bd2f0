"""M-FAC against the inverse of the matrix that it never forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rule_oracle import drawn, gap, run
from torch import nn

import ctrlnet
from ctrlnet import UsageError

MFAC = ctrlnet.load("optimizers", "mfac")


@pytest.mark.parametrize("history", [1, 5, 200])
def test_it_is_the_inverse_of_the_damped_fisher_matrix_over_100_steps(history):
    weights, gradients = drawn(100)
    gradients = [[g / np.abs(g).max() for g in row] for row in gradients]
    moved, _ = run(lambda params: MFAC(params, lr=0.01, damping=0.1, history=history), weights, gradients)
    flat = np.concatenate([weight.ravel() for weight in weights])
    seen = [np.concatenate([g.ravel() for g in row]) for row in gradients]
    for t in range(len(seen)):
        last = np.array(seen[max(0, t + 1 - history) : t + 1])
        flat -= 0.01 * np.linalg.solve(0.1 * np.eye(flat.size) + last.T @ last / len(last), seen[t])
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    expected = [part.reshape(w.shape) for part, w in zip(np.split(flat, ends), weights, strict=True)]
    assert gap(moved, expected) <= 1e-12


def test_a_missing_gradient_counts_as_zero():
    start = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = ([nn.Parameter(w.clone()) for w in start] for _ in range(2))
    first, second = MFAC(one, history=3), MFAC(other, history=3)
    generator = torch.Generator().manual_seed(1)
    for t in range(8):
        for weight, twin in zip(one, other, strict=True):
            weight.grad = torch.randn(3, 3, generator=generator, dtype=torch.float64)
            twin.grad = weight.grad.clone()
        if t % 3 != 1:
            one[t % 2].grad, other[t % 2].grad = None, torch.zeros(3, 3, dtype=torch.float64)
        before = one[t % 2].detach().clone()
        first.step()
        if one[t % 2].grad is None:
            assert torch.equal(one[t % 2], before)
            with torch.no_grad():  # the twin's gradient of zero moves it along the others
                second.step()
                other[t % 2].copy_(before)
        else:
            second.step()
    for weight, twin in zip(one, other, strict=True):
        assert torch.allclose(weight, twin, rtol=1e-12, atol=1e-14)


def test_gradients_all_alike_are_no_difficulty():
    """K has rank one, and in float32 its rounding is far above the damping."""
    weight = nn.Parameter(torch.zeros(50))
    optimizer = MFAC([weight], damping=1e-10, history=64)
    for _ in range(100):
        weight.grad = torch.full((50,), 1e3)
        optimizer.step()
    assert bool(weight.isfinite().all()) and bool((weight < 0).all())


def test_memory_and_one_history_for_all():
    weight = nn.Parameter(torch.zeros(10, 4))
    optimizer = MFAC([weight], history=16)
    weight.grad = torch.ones(10, 4)
    optimizer.step()
    assert optimizer.memory() == {"gradients": 16 * 40 * 4, "gram": 16 * 16 * 8}
    with pytest.raises(UsageError, match="history is one for all weights"):
        MFAC([{"params": [weight], "history": 3}])
