"""Writing into tensors that the function made: every view of them sees it; nothing else may be written to."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import exact
from ctrlnet.errors import LyingTrace, TraceError, UnsupportedOperation
from ctrlnet.graph import evaluate, trace

STATES = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
WEIGHTS = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)


def _assembled(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[..., 0] = x[..., 1]
    y[..., 1] = -torch.sin(x[..., 0])
    y[..., 2] = -9.81
    return y @ WEIGHTS


def _filled(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[..., :2] = x[..., 1:]
    y[..., 2] = x[..., 0] ** 2
    return y @ WEIGHTS


def _corrected(x: Tensor) -> Tensor:
    y = torch.tanh(x)
    y[..., 1] = torch.relu(y[..., 1])
    y[..., 2] += x[..., 0]
    y[..., 0] *= 2
    return y @ WEIGHTS


def _seen_through_an_earlier_view(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    whole, rest = y[..., :], y[..., 1:]
    y[..., 0] = x[..., 0]
    y[..., 1] = 2 * x[..., 2]
    return whole.sum(-1) + 7 * rest[..., 0]


def _written_over_a_view(x: Tensor) -> Tensor:
    y = 2 * x
    earlier = y[..., :1]
    y.mul_(3.0)
    return y.sum(-1) + 10 * earlier.sum(-1)


def _written_through_a_view(x: Tensor) -> Tensor:
    y = 2 * x
    y[..., 1:].sub_(x[..., :1]).mul_(3.0)
    return y @ WEIGHTS


def _a_matrix(x: Tensor) -> Tensor:
    A = torch.zeros(*x.shape[:-1], 3, 3, dtype=x.dtype)
    A[..., 0, 1] = 1
    A[..., 1, 0] = torch.cos(x[..., 0])
    A[..., 2, :] = x
    A[..., :, 2] = A[..., :, 2] * 2
    return (A @ x.unsqueeze(-1)).squeeze(-1).square().sum(-1)


def _transposed(x: Tensor) -> Tensor:
    y = torch.zeros(3, *x.shape[:-1], dtype=x.dtype)
    y[0] = x[..., 0]
    y[1] = x[..., 2] * x[..., 1]
    return torch.movedim(y, 0, -1) @ WEIGHTS


def _in_turn(x: Tensor) -> Tensor:
    y = x.clone()
    for i in range(3):
        y[..., i] = torch.sin(y[..., (i + 1) % 3])
    return y @ WEIGHTS


def _in_steps(x: Tensor) -> Tensor:
    y = torch.zeros(*x.shape[:-1], 6, dtype=x.dtype)
    y[..., ::2] = x
    y[..., 1::2] = -x
    return (y * torch.arange(6)).sum(-1)


def _swapped(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., 0], y[..., 1] = y[..., 1], y[..., 0]
    return y @ WEIGHTS


def _several_places(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., [0, 2]] = 5.0
    return y @ WEIGHTS


def _where_the_state_says(x: Tensor) -> Tensor:
    y, z = x.clone(), torch.zeros_like(x)
    y[x < 0] = 0.5
    z[x.abs() < 1] = x[..., :1].square().sum()
    return y.sum(-1) + z @ WEIGHTS


def _added_to_zeros(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y += x.sin()
    return y @ WEIGHTS


def _row_by_row(x: Tensor) -> Tensor:
    return torch.vmap(_assembled)(x.reshape(-1, 3)).reshape(x.shape[:-1])


WRITTEN = [
    _assembled, _filled, _corrected, _seen_through_an_earlier_view, _written_over_a_view, _written_through_a_view,
    _a_matrix, _transposed, _in_turn, _in_steps, _swapped, _several_places, _row_by_row, _added_to_zeros,
]  # fmt: skip


@pytest.mark.parametrize("function", WRITTEN)
def test_what_the_function_made_may_be_written_to(function: Callable[[Tensor], Tensor]) -> None:
    graph, output = trace(function, 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], function(STATES), rtol=1e-12, atol=1e-12)


def test_a_mask_of_the_state_chooses_where_a_number_is_written() -> None:
    """y[x < 0] = v is torch.where(x < 0, v, y), for a number v made of the state too, into zeros too."""

    def function(x: Tensor) -> Tensor:
        return _where_the_state_says(x) if x.dim() == 1 else torch.stack([_where_the_state_says(row) for row in x])

    graph, output = trace(function, 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], function(STATES), rtol=1e-12, atol=1e-12)
    assert sum(node.operation == "select" for node in graph.nodes) == 2


def _saturated(x: Tensor) -> Tensor:
    u, y = (x @ WEIGHTS).clone(), 2 * x
    u[u > 1.5] = 1.5
    u[u < -1.5] = -1.5
    first = y[..., 0]
    first[first.abs() > x[..., 1]] = x.sum() if x.dim() == 1 else x.sum(-1)[first.abs() > x[..., 1]]
    return u + y @ WEIGHTS


def test_a_mask_of_one_truth_value_chooses_for_one_number() -> None:
    """u[u > a] = a for a single number u: a batch writes into those rows where it holds, and so does every view."""
    graph, output = trace(_saturated, 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], _saturated(STATES), rtol=1e-12, atol=1e-12)


def test_a_field_of_float32_is_rounded_and_no_lie() -> None:
    def field(x: Tensor) -> Tensor:
        y = torch.zeros(x.shape)
        y[..., 0] = x[..., 1]
        y[..., 1] = x[..., 0]
        return y

    graph, output = trace(field, 3, STATES, (3,))
    assert torch.equal(evaluate(graph, [output], STATES)[0][:, :2], STATES[:, [1, 0]])


def test_an_exact_number_stays_exact_where_it_is_written() -> None:
    """9.81 is 981/100; what was written before and later into the same memory, rounded by nobody, is 3 and 1/2."""

    def function(x: Tensor) -> Tensor:
        y = torch.ones_like(x)
        y[..., 1] = 3.0
        y[..., 0] = exact("9.81")
        y[..., 2] = 0.5
        return y + 0 * x

    graph, output = trace(function, 3, STATES, (3,))
    held = graph.held(output)
    assert held is not None and list(held.fractions) == [Fraction(981, 100), Fraction(3), Fraction(1, 2)]


def _unfilled(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[..., :2] = x[..., 1:]
    return y.sum(-1)


def _unfilled_copy(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    z = y[..., :1].clone()
    y[..., :] = x
    return y.sum(-1) + z.sum(-1)


def _the_state(x: Tensor) -> Tensor:
    x[..., 0] = 0
    return x.sum(-1)


def _a_view_of_the_state(x: Tensor) -> Tensor:
    x[..., :1].mul_(2)
    return x.sum(-1)


def _the_state_detached(x: Tensor) -> Tensor:
    x.detach().mul_(2)
    return x.sum(-1)


OUTSIDE = torch.ones(3, dtype=torch.float64)


def _a_weight(x: Tensor) -> Tensor:
    OUTSIDE[0] = x.reshape(-1)[0]
    return (x * OUTSIDE).sum(-1)


def _seen_by_numpy(x: Tensor) -> Tensor:
    y = torch.zeros(3, dtype=torch.float64)
    window = y.numpy()
    y[0] = x.reshape(-1)[0]
    return x.sum(-1) * (2.0 if window[0] > 10 else 1.0)


def _seen_by_a_foreign_alias(x: Tensor) -> Tensor:
    y = torch.zeros(3, dtype=torch.float64)
    window = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(y[1:]))
    before = window.sum()
    y[1] = x.reshape(-1)[0]
    return x.sum(-1) * (2.0 if window.sum() > 10 else 1.0) + before


def _as_bits(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    bits = y.view(torch.int64)
    y[..., 0] = x[..., 0]
    return x.sum(-1) + (bits[..., 0] != 0).to(x)


def _truths(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape, dtype=torch.bool)
    y[..., 0] = x[..., 0] > 0
    return torch.where(y, x, 0.0).sum(-1)


def _as_many_as_the_state_says(x: Tensor) -> Tensor:
    y = x.clone()
    y[x < 0] = x[x < 0] ** 2
    return y.sum(-1)


def _through_a_shared_place(x: Tensor) -> Tensor:
    y = 2 * x[..., :1]
    y.expand(*x.shape)[x > 0.5] = 1.0
    return y.sum(-1)


def _one_entry_of_the_state(x: Tensor) -> Tensor:
    first = x[..., 0]
    first[first > 0.5] = 0.5
    return x.sum(-1)


def _several_at_once(x: Tensor) -> Tensor:
    y, z = x * 1, x * 2
    torch._foreach_mul_([y, z], 3.0)
    return (y + z).sum(-1)


REFUSED = [
    _unfilled, _unfilled_copy, _the_state, _a_view_of_the_state, _the_state_detached, _a_weight, _seen_by_numpy,
    _seen_by_a_foreign_alias, _as_bits, _truths, _as_many_as_the_state_says, _several_at_once,
    _through_a_shared_place, _one_entry_of_the_state,
]  # fmt: skip


@pytest.mark.parametrize("function", REFUSED)
def test_nothing_else_may_be_written_to(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        trace(function, 3, STATES, ())
    assert "test_in_place.py" in str(caught.value)
    assert torch.equal(OUTSIDE, torch.ones(3, dtype=torch.float64))


def _kept(cache: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        y = cache.setdefault("y", torch.zeros(3, dtype=torch.float64))
        y[0] = x.reshape(-1)[0]
        return (x * y).sum(-1)

    return function


def test_what_is_kept_from_one_call_to_the_next_may_not_be_written_to() -> None:
    with pytest.raises(UnsupportedOperation, match="in place"):
        trace(_kept({}), 3, STATES, ())


def test_entries_that_share_a_place_are_an_error_and_replaced_memory_is_found_out() -> None:
    with pytest.raises(TraceError):
        trace(lambda x: torch.zeros(1, dtype=x.dtype).expand(3).mul_(2).sum() + x.sum(-1), 3, STATES, ())

    def replaced(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        earlier = y[..., :1]
        y.data = 2 * x
        return y.sum(-1) + earlier.sum(-1)

    with pytest.raises((LyingTrace, UnsupportedOperation)):
        trace(replaced, 3, STATES, ())
