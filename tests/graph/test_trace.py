"""A traced graph is the function; what cannot be traced is refused by name and line."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrlnet import exact
from ctrlnet.errors import LyingTrace, NonFinite, ShapeError, TraceError, UnsupportedOperation, UsageError
from ctrlnet.graph import evaluate, trace

STATES = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
MATRIX = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: (2 * x[..., 0] + x[..., 1] / 3 - x[..., 2]) * (1 - x[..., 0]) / (2 + x[..., 1].square()),
    "powers": lambda x: (x**2).sum(-1) + x[..., 0] ** 3 - x[..., 1] ** 5 + (2 + x[..., 2] ** 2) ** -2,
    "elementary": lambda x: (torch.sin(x) + torch.cos(x) * torch.tanh(x) + torch.exp(-x.square())).sum(-1),
    "activations": lambda x: (torch.sigmoid(x) + torch.nn.functional.silu(x) + torch.relu(x)).mean(-1),
    "leaky": lambda x: torch.nn.functional.leaky_relu(x, 0.2).sum(-1) + torch.nn.functional.hardtanh(x).sum(-1),
    "kinks": lambda x: torch.abs(x[..., 0]) + torch.maximum(x[..., 1], x[..., 2]) - torch.minimum(x[..., 0], x[..., 1]),
    "clamp": lambda x: torch.clamp(x, -0.3, 0.7).sum(-1) + x.clamp(min=0.1).sum(-1) + x.clamp(max=-0.1).sum(-1),
    "quadratic form": lambda x: ((x @ MATRIX) * x).sum(-1),
    "matrices": lambda x: (MATRIX @ x[..., None])[..., 0].square().sum(-1),
    "outer product": lambda x: (x[..., :, None] * x[..., None, :] * MATRIX).sum((-1, -2)),
    "einsum": lambda x: torch.einsum("...i,ij,...j->...", x, MATRIX, x),
    "stack and cat": lambda x: torch.cat([torch.stack([x[..., 2], x[..., 0]], -1), x[..., 1:]], -1).square().sum(-1),
    "views": lambda x: x.unbind(-1)[1] * x.flip(-1)[..., 0] + x.roll(1, -1)[..., 2] * x.unsqueeze(-1)[..., 1, 0],
    "keepdim": lambda x: ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1),
    "exact": lambda x: exact("9.81") / exact("0.5") * torch.sin(x[..., 0]) - x[..., 1] * exact("1/3") + exact("0.1"),
    "factories": lambda x: (x + torch.ones(3, dtype=x.dtype) + torch.zeros_like(x)).sum(-1),
    "detached": lambda x: (x.detach() * x).sum(-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_graph_equals_the_function(name: str) -> None:
    function = FUNCTIONS[name]
    graph, output = trace(function, 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], function(STATES), rtol=1e-12, atol=1e-12)


def test_a_declared_decimal_stays_a_rational() -> None:
    graph, _ = trace(lambda x: exact("9.81") * x[..., 0], 3, STATES, ())
    constants = [node.attribute.fractions for node in graph.nodes if node.operation == "constant"]
    assert (exact("9.81"),) in constants


def test_a_float32_module_is_traced_with_its_exact_weights() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    graph, output = trace(network, 3, STATES, (1,))
    expected = network.double()(STATES)
    assert torch.allclose(evaluate(graph, [output], STATES)[0], expected, rtol=1e-12, atol=1e-12)


NARROW = torch.randn(3, 3, generator=torch.Generator().manual_seed(4))


def _narrow_product(x: Tensor) -> Tensor:
    """A shape matrix computed in float32, which meets a state of float64."""
    return (x * (x @ (NARROW.T @ NARROW + 0.1 * torch.eye(3, dtype=x.dtype)))).sum(-1)


def test_rounding_to_float32_inside_is_no_lie() -> None:
    graph, output = trace(_narrow_product, 3, STATES, ())
    exact_shape = NARROW.double().T @ NARROW.double() + 0.1 * torch.eye(3, dtype=torch.float64)
    expected = (STATES * (STATES @ exact_shape)).sum(-1)
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], expected, rtol=1e-12, atol=1e-12)


def test_weights_of_float32_do_not_excuse_a_difference() -> None:
    weight, calls = NARROW[0], [1.0, 1.0]
    with pytest.raises(LyingTrace):
        trace(lambda x: (x * weight).sum(-1) * (calls.pop() if calls else 1 + 1e-6), 3, STATES, ())


def _through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sin(x.numpy())).sum(-1)


def _through_array(x: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(x) ** 2).sum(-1)


def _through_list(x: Tensor) -> Tensor:
    return torch.tensor([v * v for v in x.reshape(-1).tolist()]).reshape(x.shape).sum(-1)


def _clipped_in_place(x: Tensor) -> Tensor:
    values = x.numpy()
    np.clip(values, -0.5, 0.5, out=values)
    return -x.sum(-1)


def _narrow_branch(x: Tensor) -> Tensor:
    return x.sum(-1) * (3.0 if max(x.reshape(-1).tolist()) > 10 else -1.0)


@pytest.mark.parametrize("function", [_through_numpy, _through_array, _through_list, _clipped_in_place, _narrow_branch])
def test_a_number_of_the_state_that_leaves_torch_is_stopped(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOperation, match="leaves torch"):
        trace(function, 3, STATES, ())


def _data_replaced(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.data = 2 * x
    return y.sum(-1)


@pytest.mark.parametrize(
    "function",
    [
        _data_replaced,
        lambda x: torch.nn.Parameter(2 * x, requires_grad=False).sum(-1),
        lambda x: torch.Tensor._make_subclass(torch.Tensor, 2 * x).sum(-1),
        lambda x: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(2 * x)).sum(-1),
    ],
)
def test_an_alias_of_the_states_memory_is_no_constant(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOperation, match="memory"):
        trace(function, 3, STATES, ())


def test_the_data_of_the_state_is_followed() -> None:
    graph, output = trace(lambda x: x.data.square().sum(-1), 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], STATES.square().sum(-1))


def test_a_number_of_a_constant_may_leave_torch() -> None:
    limit = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    graph, output = trace(lambda x: x.clamp(max=limit.item()).sum(-1), 3, STATES, ())
    assert torch.equal(evaluate(graph, [output], STATES)[0][:, 0], STATES.clamp(max=0.5).sum(-1))


class _Counter:
    """Another function at every call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.calls * x.sum(-1)


class _Switching(_Counter):
    """Another function from the third call on: after both traces."""

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return (1.0 if self.calls < 3 else 1.0 + 1e-6) * x[..., 0]


@pytest.mark.parametrize("function", [_Counter(), _Switching()])
def test_a_function_that_remembers_is_found_out(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(LyingTrace):
        trace(function, 3, STATES, ())


def test_small_units_and_a_large_neighbour_hide_no_difference() -> None:
    """A component of 1e-10 beside one of 1e6: a wrong sign in the small one is seen."""
    switch = _Switching()
    scale = torch.tensor([1e-10, 1e6, 1.0], dtype=torch.float64)
    with pytest.raises(LyingTrace):
        trace(
            lambda x: torch.stack([1e-10 * switch(x), 1e6 * x[..., 1], x[..., 2]], -1) * scale / scale, 3, STATES, (3,)
        )


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[..., [0, 0, 2]].sum(-1),
        lambda x: x[..., torch.tensor([1, 0])].sum(-1),
        lambda x: torch.index_select(x, -1, torch.tensor([2, 0])).sum(-1),
        lambda x: (x * torch.tensor([1, 2, 3])).sum(-1),
        lambda x: (x * torch.tensor([1, 2, 3]).double()).sum(-1),
        lambda x: (x ** torch.tensor(2)).sum(-1) + x[..., 0] ** exact("3"),
        lambda x: x.sum(-1) * (torch.tensor(7) / torch.tensor(2)),
        lambda x: (torch.arange(3).unsqueeze(0) * x).sum(-1).reshape(x.shape[:-1]),
        lambda x: torch.cat([x, torch.ones(*x.shape[:-1], 1, dtype=torch.long)], -1).sum(-1),
        lambda x: x[..., torch.tensor([True, False, True])].sum(-1),
        lambda x: x.clamp(max=float("inf")).sum(-1),
    ],
)
def test_integers_masks_and_exact_exponents(function: Callable[[Tensor], Tensor]) -> None:
    graph, output = trace(function, 3, STATES, ())
    assert torch.allclose(evaluate(graph, [output], STATES)[0][:, 0], function(STATES).double(), rtol=1e-12)


def test_an_exact_tensor_changed_in_place_is_no_longer_exact() -> None:
    changed = exact("1").tensor()
    changed.sub_(0.25)
    graph, output = trace(lambda x: x[..., 0] * changed, 3, STATES, ())
    assert torch.equal(evaluate(graph, [output], STATES)[0][:, 0], 0.75 * STATES[:, 0])


def _branching(x: Tensor) -> Tensor:
    return x.sum(-1) if x[..., 0] > 0 else -x.sum(-1)


def _written_through_out(x: Tensor) -> Tensor:
    buffer = torch.zeros_like(x)
    earlier = buffer[..., :]
    torch.cat([x[..., 1:], x[..., :1]], -1, out=buffer)
    return earlier.sum(-1)


def _batch_norm_in_training(x: Tensor) -> Tensor:
    return torch.nn.functional.batch_norm(x.reshape(-1, 1), None, None, training=True).sum()


def _numpy_of_a_filled_tensor(x: Tensor) -> Tensor:
    buffer = torch.empty(x.shape, dtype=x.dtype)
    buffer.fill_(1.0)
    window = buffer.numpy()
    buffer.mul_(x)
    return x.sum(-1) * float(window[0])


SPECTRAL = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 1)).double().requires_grad_(False)
UNSUPPORTED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "besselj": (lambda x: torch.special.bessel_j0(x).sum(-1), "bessel_j0"),
    "random": (lambda x: (x + torch.rand(3, dtype=x.dtype)).sum(-1), "rand"),
    "dropout": (lambda x: torch.nn.functional.dropout(x, 0.5, training=True).sum(-1), "dropout"),
    "weights of a new module": (lambda x: torch.nn.GRUCell(3, 1)(x).sum(-1), "build modules outside of the function"),
    "buffers of a module": (lambda x: SPECTRAL(x)[..., 0], r"spectral_norm, call \.eval\(\)"),
    "control flow": (_branching, "leaves torch"),
    "control flow by any": (lambda x: x.sum(-1) if (x > 0).any() else -x.sum(-1), "leaves torch"),
    "a mask of the state": (lambda x: x[x > 0].sum(), "index"),
    "integers of where": (lambda x: torch.where(x > 0, 1, 0).sum(-1).to(x), "integer"),
    "a count": (lambda x: (x > 0).sum(-1).to(x), "integer"),
    "the place of a maximum": (lambda x: x[..., x.max(-1).indices], "index"),
    "bits of a comparison": (lambda x: (x > 0).long().to(x).sum(-1), "truncates"),
    "an uninitialised tensor": (lambda x: (x + torch.empty_like(x)).sum(-1), "never filled"),
    "batch norm in training": (_batch_norm_in_training, "training"),
    "softplus with a jump": (lambda x: torch.nn.functional.softplus(x, threshold=2.0).sum(-1), "threshold"),
    "an order left open": (lambda x: x.topk(2, -1, sorted=False).values.sum(-1), "sorted=False"),
    "the places of an order": (lambda x: x.gather(-1, x.sort(-1).indices.roll(1, -1)).prod(-1), "index taken from"),
    "many sorted entries": (lambda x: x.repeat_interleave(6, -1).sort(-1).values[..., 7], "18 entries"),
    "NaN replaced": (lambda x: torch.nan_to_num(x.log()).sum(-1), "nan_to_num.*may be undefined"),
    "entries picked by a mask": (lambda x: torch.relu(x)[x > 0].sum(), "torch.where"),
    "a transposed convolution": (
        lambda x: torch.nn.functional.conv_transpose1d(x.reshape(-1, 1, 3), MATRIX[None, :1]).sum(),
        "transposed",
    ),
    "rounded up by pooling": (
        lambda x: torch.nn.functional.avg_pool1d(x.reshape(-1, 1, 3), 2, ceil_mode=True).sum(),
        "ceil_mode",
    ),
    "a large inverse": (lambda x: torch.linalg.inv(torch.diag_embed(torch.cat([x, x, x], -1))).sum(), "6"),
    "the state written": (lambda x: x.mul_(2.0).sum(-1), "in place"),
    "numpy of a filled tensor": (_numpy_of_a_filled_tensor, "leaves torch"),
    "complex": (lambda x: torch.fft.fft(x).real.sum(-1), "fft"),
    "written through out": (_written_through_out, "out="),
    "NaN of what may be undefined": (lambda x: torch.where(x.log().isnan(), 0.0, x).sum(-1), "isnan"),
    "a factorisation of constants": (lambda x: (x @ torch.linalg.cholesky(torch.eye(3).to(x))).sum(-1), "outside of"),
    "truncation": (lambda x: x.long().double().sum(-1), "int64"),
    "reinterpreted bits": (lambda x: x.view(torch.int64).clamp(0, 1).double().sum(-1), "view"),
    "an index from the state": (lambda x: x[..., x.argmax()], "aten"),
    "infinite power": (lambda x: (x ** float("inf")).sum(-1), "inf"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_operation_without_a_rule_is_named_with_the_users_line(name: str) -> None:
    function, word = UNSUPPORTED[name]
    with pytest.raises(UnsupportedOperation, match=word) as caught:
        trace(function, 3, STATES, ())
    assert "test_trace.py" in str(caught.value)


def test_numbers_copied_into_a_new_tensor_are_found_out() -> None:
    with pytest.raises(LyingTrace, match=r"torch\.stack"):
        trace(lambda x: torch.tensor([x[..., 1], -x[..., 0], x[..., 2]]).square().sum(-1), 3, STATES, ())


def test_mixed_rows_are_found_out() -> None:
    with pytest.raises(UsageError, match="mixes the rows"):
        trace(lambda x: x.sum(-1) - x.mean(), 3, STATES, ())


def test_failures_inside_the_function_are_errors_of_our_tree() -> None:
    for function in (
        lambda x: torch.einsum("ij,...j->...i", torch.eye(2, dtype=torch.float64), x).sum(-1),
        lambda x: torch.nn.Linear(3, 1, dtype=torch.bfloat16)(x),
        lambda x: x.nothing(),
        lambda x: x[..., 7],
    ):
        with pytest.raises(TraceError):
            trace(function, 3, STATES, ())
    with pytest.raises(NonFinite):
        trace(lambda x: x.sum(-1) * exact("1e400"), 3, STATES, ())


def _columns(x: Tensor) -> Tensor:
    return x[:, 0] * x[:, 1]


def _asserting(x: Tensor) -> Tensor:
    assert x.dim() == 2
    return torch.cat([x[:, 1:], torch.sin(x[:, :1])], dim=1)


COLUMN = torch.nn.Linear(3, 1).requires_grad_(False)


@pytest.mark.parametrize(
    ("function", "tail", "advice", "given"),
    [
        (
            _columns,
            (),
            "lambda x: f(x.reshape(-1, 3)).reshape(x.shape[:-1])",
            lambda x: _columns(x.reshape(-1, 3)).reshape(x.shape[:-1]),
        ),
        (
            _asserting,
            (3,),
            "lambda x: f(x.reshape(-1, 3)).reshape(x.shape)",
            lambda x: _asserting(x.reshape(-1, 3)).reshape(x.shape),
        ),
        (COLUMN, (), "lambda x: f(x)[..., 0]", lambda x: COLUMN(x)[..., 0]),
        (lambda x: x @ torch.eye(3).double() @ x, (), "((x @ P) * x).sum(-1)", lambda x: (x * x).sum(-1)),
    ],
)
def test_a_function_of_another_shape_is_told_how_to_be_given(
    function: Callable[[Tensor], Tensor], tail: tuple[int, ...], advice: str, given: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises((TraceError, ShapeError), match=re.escape(advice)):
        trace(function, 3, STATES, tail)
    trace(given, 3, STATES, tail)


def test_autograd_inside_a_function_is_told_of_func() -> None:
    with pytest.raises(TraceError, match=r"torch\.func\.grad"):
        trace(lambda x: torch.autograd.grad(x.square().sum(), x)[0].sum(-1), 3, STATES, ())


def test_wrong_shapes_and_nan_are_errors() -> None:
    with pytest.raises(ShapeError, match=r"of shape \(\); it gave"):
        trace(lambda x: x, 3, STATES, ())
    with pytest.raises(NonFinite):
        trace(lambda x: x.sum(-1) * float("nan"), 3, STATES, ())
