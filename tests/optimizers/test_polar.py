"""The polar factor by iteration against that by decomposition."""

from __future__ import annotations

import pytest
import torch
from ctrlnet_plugins.optimizers.polar import by_decomposition, by_iteration, msign
from torch import Tensor


def matrix(rows: int, columns: int, condition: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Singular values from 1 to 1/condition, in even ratios."""
    generator = torch.Generator().manual_seed(rows * 1000 + columns)
    u, _, vh = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator, dtype=torch.float64), full_matrices=False
    )
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), min(rows, columns), dtype=torch.float64)
    return (u * values @ vh).to(dtype)


@pytest.mark.parametrize("shape", [(8, 8), (16, 5), (5, 16), (1, 7), (7, 1)])
@pytest.mark.parametrize(("dtype", "condition", "tolerance"), [(torch.float64, 1e6, 1e-9), (torch.float32, 1e2, 1e-4)])
def test_the_iteration_is_the_decomposition(shape, dtype, condition, tolerance):
    given = matrix(*shape, condition, dtype)
    found, exact = by_iteration(given), by_decomposition(given)
    assert found.dtype == dtype and float((found - exact).abs().max()) < tolerance


@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_the_decomposition_is_semi_orthogonal_and_the_nearest(shape):
    given = matrix(*shape, 1e3)
    found = by_decomposition(given)
    gram = found.mT @ found if shape[0] > shape[1] else found @ found.mT
    assert torch.allclose(gram, torch.eye(6, dtype=torch.float64))
    assert float((given * found).sum()) == pytest.approx(float(torch.linalg.matrix_norm(given, "nuc")))


@pytest.mark.parametrize("method", ["svd", "iteration"])
def test_null_directions_stay_null(method):
    given = torch.outer(torch.arange(1.0, 5), torch.arange(1.0, 4)).double()
    assert torch.allclose(msign(given, method), given / given.norm(), atol=1e-7)
    assert not msign(torch.zeros(4, 3), method).any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("method", ["svd", "iteration"])
def test_the_size_does_not_matter(scale, method):
    given = matrix(6, 4, 10, torch.float32)
    assert torch.allclose(msign(given * scale, method), msign(given, method), atol=1e-4)


@pytest.mark.parametrize("method", ["svd", "iteration"])
def test_batches_are_matrix_by_matrix(method):
    batch = torch.stack([matrix(6, 4, 10), matrix(6, 4, 100) * 5])
    together = msign(batch, method)
    assert torch.allclose(together, torch.stack([msign(one, method) for one in batch]), atol=1e-12)


def test_small_singular_values_never_overshoot():
    given = matrix(32, 32, 1e12, torch.float32)
    assert float(torch.linalg.svdvals(by_iteration(given)).max()) < 1 + 1e-4


def test_not_finite_stays_not_finite():
    assert not by_iteration(torch.full((3, 3), float("nan"))).isfinite().any()
