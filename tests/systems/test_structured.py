"""Fields that offer an integrator more than their values."""

from __future__ import annotations

import pytest
import torch
from swings import KEPT, ROTATION, energy, gravity, identity, kick, separable, split, swing
from torch import Tensor

from ctrlnet import Energy, Separable, ShapeError, Split, UsageError, timed
from ctrlnet.systems import STRUCTURES, Potential

X = torch.tensor([[1.2, 0.3], [-0.5, 2.0], [0.0, 0.0]], dtype=torch.float64)
EXPECTED = torch.stack([X[:, 1], -torch.sin(X[:, 0])], -1)


@pytest.mark.parametrize("field", [separable, split, swing, Split(lambda x: x @ KEPT.to(x).T, kick)])
def test_each_is_a_field(field: Separable | Split | Energy) -> None:
    assert torch.equal(field(X), EXPECTED)
    assert torch.equal(field.rate(3.0, X), EXPECTED)
    assert torch.equal(field(X.reshape(3, 1, 2)), EXPECTED.reshape(3, 1, 2))
    assert torch.allclose(field(X.float()), EXPECTED.float())
    assert type(field).__name__ in STRUCTURES


def test_parts_of_each() -> None:
    q, p = separable.halves(X)
    assert torch.equal(separable.velocity(0.0, p), X[:, 1:])
    assert torch.equal(separable.force(0.0, q), -torch.sin(X[:, :1]))
    assert torch.equal(split.first(0.0, X), torch.stack([X[:, 1], torch.zeros(3)], -1))
    assert torch.equal(split.second(0.0, X), kick(X))
    assert torch.equal(split.linear(X), KEPT)
    assert split.linear(X.float()).dtype == torch.float32
    assert torch.equal(swing.applied(energy.gradient(X)), EXPECTED)
    assert isinstance(energy, Potential)


def test_parts_that_depend_on_time() -> None:
    field = Separable(identity, timed(lambda t, q: -torch.sin(q) * t))
    assert torch.equal(field.rate(2.0, X)[:, 1], -2 * torch.sin(X[:, 0]))
    times = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    assert torch.equal(field.rate(times, X)[:, 1], -torch.sin(X[:, 0]) * times[:, 0])
    whole = Split(KEPT, timed(lambda t, x: kick(x) * t))
    assert torch.equal(whole.rate(2.0, X), torch.stack([X[:, 1], -2 * torch.sin(X[:, 0])], -1))
    for timed_field in (field, whole):
        with pytest.raises(UsageError, match="depends on time"):
            timed_field(X)


@pytest.mark.parametrize("n", [1, 3])
def test_states_without_halves(n: int) -> None:
    with pytest.raises(ShapeError, match=f"{n} coordinates"):
        separable(torch.zeros(2, n))


def test_parts_of_another_shape_or_precision() -> None:
    with pytest.raises(ShapeError, match="force of this Separable"):
        Separable(identity, lambda q: q.sum(-1))(X)
    with pytest.raises(ShapeError, match="velocity of this Separable"):
        Separable(Tensor.float, gravity)(X)
    with pytest.raises(ShapeError, match="second part of this Split"):
        Split(KEPT, lambda x: x[..., :1])(X)
    with pytest.raises(ShapeError, match="first part of this Split"):
        Split(lambda x: x[..., :1], kick)(X)


@pytest.mark.parametrize("matrix", [torch.eye(2)[0], torch.ones(2, 3), torch.eye(2, dtype=torch.int64)])
def test_what_is_no_matrix(matrix: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"\(n, n\)"):
        Split(matrix, kick)
    with pytest.raises(ShapeError, match=r"\(n, n\)"):
        Energy(energy, matrix)


def test_matrices_of_another_size() -> None:
    for field in (Split(torch.eye(3), kick), Energy(energy, torch.eye(3))):
        with pytest.raises(ShapeError, match=r"\(3, 3\).*2 coordinates"):
            field(X)


def test_what_is_no_function_or_energy() -> None:
    with pytest.raises(UsageError, match="velocity is 3"):
        Separable(3, gravity)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="second is None"):
        Split(KEPT, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mean_gradient"):
        Energy(lambda x: (x**2).sum(-1), ROTATION)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="matrix L"):
        Split(kick, kick).linear(X)


def test_gradients_reach_the_parts() -> None:
    matrix, structure = KEPT.clone().requires_grad_(), ROTATION.clone().requires_grad_()
    Split(matrix, kick)(X).sum().backward()
    Energy(energy, structure)(X).sum().backward()
    assert torch.allclose(matrix.grad, X.sum(0).expand(2, 2))
    assert torch.allclose(structure.grad, energy.gradient(X).sum(0).expand(2, 2))
