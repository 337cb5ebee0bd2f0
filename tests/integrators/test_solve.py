"""`solve` and `odeint`: grids, batches, gradients, unfinished solutions, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from damped_pendulum import pendulum as plant
from torch import Tensor

from ctrlnet import (
    Event,
    NameNotFound,
    NonFinite,
    ShapeError,
    SolveFailed,
    Step,
    Tolerance,
    UsageError,
    mlp,
    odeint,
    solve,
    timed,
)

ONE = torch.ones(1, dtype=torch.float64)
METHODS = ["euler", "rk4", "dopri5"]


def pendulum(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
def test_shapes_dtypes_and_instants(method: str) -> None:
    t = torch.linspace(0, 1, 5)
    for x0 in (states(2), states(3, 2), states(4, 3, 2), states(3, 2).float()):
        solution = solve(pendulum, x0, t, method=method)
        assert solution.x.shape == (5, *x0.shape)
        assert solution.x.dtype == x0.dtype
        assert torch.equal(solution.x[0], x0)
        assert torch.equal(solution.t, t.double())
        assert (solution.status, solution.events) == ("done", ())


def test_steps_divide_the_intervals() -> None:
    assert solve(torch.neg, ONE, [0, 1, 3]).steps == 2
    assert solve(torch.neg, ONE, [0, 1, 3], step=0.1).steps == 30
    assert solve(torch.neg, ONE, [0, 1, 3], step=0.3).steps == 4 + 7
    assert solve(torch.neg, ONE, [0, 1], step=5).steps == 1
    assert solve(torch.neg, ONE, [0, 1], step=0.25, method="dopri5").steps == 4


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_a_batch_do_not_meet_with_fixed_steps(method: str) -> None:
    x0, t = states(6, 2), torch.linspace(0, 1, 4)
    whole = odeint(pendulum, x0, t, method=method, step=0.05)
    alone = torch.stack([odeint(pendulum, row, t, method=method, step=0.05) for row in x0], 1)
    assert torch.equal(whole, alone)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    assert torch.equal(odeint(pendulum, x0[order], t, method=method, step=0.05), whole[:, order])


def test_one_hard_row_sets_the_steps_for_all() -> None:
    """The worst row decides: a batch of a thousand still states does not hide a fast one."""
    frequency = torch.cat([torch.zeros(1000, 1), torch.full((1, 1), 30.0)]).double()
    field: Callable[[Tensor], Tensor] = lambda x: frequency * torch.stack([x[..., 1], -x[..., 0]], -1)  # noqa: E731
    x0 = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(1001, 2)
    solution = solve(field, x0, [0, 1], method="dopri5")
    exact = torch.tensor([math.cos(30), -math.sin(30)], dtype=torch.float64)
    assert torch.allclose(solution.x[-1, -1], exact, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_backwards_in_time(method: str) -> None:
    there = odeint(pendulum, states(3, 2), [0, 1], method=method, step=1e-3)[-1]
    back = odeint(pendulum, there, [1, 0.5, 0], method=method, step=1e-3)[-1]
    assert torch.allclose(back, states(3, 2), atol=5e-3 if method == "euler" else 1e-10)
    if method == "dopri5":
        adaptive = solve(pendulum, there, [1, 0.5, 0], method=method)
        assert torch.allclose(adaptive.x[-1], states(3, 2), atol=1e-5)
        assert adaptive.dense is not None
        assert torch.allclose(adaptive.dense([0.5]), adaptive.x[1:2])


def test_dense_output_passes_through_the_instants() -> None:
    for method, step in (("rk4", 0.1), ("dopri5", None)):
        t = torch.linspace(0, 3, 13, dtype=torch.float64)
        solution = solve(pendulum, states(4, 2), t, method=method, step=step)
        assert solution.dense is not None
        assert torch.allclose(solution.dense(t), solution.x, atol=1e-14)
        with pytest.raises(UsageError, match="outside the integrated"):
            solution.dense([3.5])


def test_many_instants_cost_no_steps() -> None:
    few = solve(pendulum, states(2), [0, 5], method="dopri5")
    many = solve(pendulum, states(2), torch.linspace(0, 5, 301), method="dopri5")
    assert few.steps == many.steps
    exact = odeint(pendulum, states(2), torch.linspace(0, 5, 301), method="rk4")
    assert torch.allclose(many.x, exact, atol=1e-5)


def test_rejected_steps_are_counted_and_harmless() -> None:
    field = timed(lambda t, x: -200 * (x - math.tanh(50 * (t - 1))))  # smooth, then a sudden front
    solution = solve(field, -ONE, torch.linspace(0, 2, 9), method="dopri5")
    assert solution.status == "done"
    assert solution.rejected > 0
    assert math.isclose(float(solution.x[-1]), 1, abs_tol=1e-5)


def test_equilibrium_stays() -> None:
    zero = torch.zeros(3, 2, dtype=torch.float64)
    for method in METHODS:
        assert torch.equal(odeint(pendulum, zero, [0, 1, 2], method=method)[-1], zero)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_equal_finite_differences(method: str) -> None:
    rate = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    x0 = states(2, 2).requires_grad_()

    def end(x0: Tensor, rate: Tensor) -> Tensor:
        return odeint(lambda x: rate * pendulum(x), x0, [0, 0.5, 1], method=method, step=0.1)[-1]

    assert torch.autograd.gradcheck(end, (x0, rate))


def test_gradient_through_adaptive_steps() -> None:
    network, x0 = mlp((2, 8, 2), seed=0), states(3, 2)
    tight = Tolerance(1e-9, 1e-9)
    losses = [
        odeint(network, x0, [0, 0.7, 1], method="dopri5", tolerance=tight).square().sum(),
        odeint(network, x0, [0, 0.7, 1], method="rk4", step=1e-3).square().sum(),
    ]
    gradients = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))]) for loss in losses
    ]
    assert torch.allclose(*gradients, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_torch_func(method: str) -> None:
    def end(x: Tensor) -> Tensor:
        return odeint(pendulum, x, [0, 0.5, 1], method=method)[-1]

    x0 = states(2)
    jacobian = torch.func.jacrev(end)(x0)
    assert torch.allclose(torch.func.jacfwd(end)(x0), jacobian)
    assert torch.allclose(torch.func.jvp(end, (x0,), (x0,))[1], jacobian @ x0)
    assert torch.allclose(torch.func.grad(lambda x: end(x).sum())(x0), jacobian.sum(0))


@pytest.mark.parametrize(("method", "status"), [("rk4", "non-finite"), ("dopri5", "minimum step")])
def test_finite_escape_gives_the_part_before(method: str, status: str) -> None:
    """x' = x², x = 1/(1 - t) leaves for infinity at t = 1."""
    t = torch.linspace(0, 20, 201, dtype=torch.float64)
    solution = solve(torch.square, ONE, t, method=method)
    assert solution.status == status
    assert 8 < len(solution.t) < 25
    assert torch.equal(solution.t, t[: len(solution.t)])
    assert bool(torch.isfinite(solution.x).all())
    assert torch.allclose(solution.x[:8, 0], 1 / (1 - t[:8]), rtol=1e-3)
    with pytest.raises(SolveFailed, match=status) as failure:
        odeint(torch.square, ONE, t, method=method)
    assert torch.equal(failure.value.solution.x, solution.x)
    assert failure.value.solution.status == status


def test_step_limit() -> None:
    solution = solve(pendulum, states(2), torch.linspace(0, 50, 51), method="dopri5", tolerance=Tolerance(steps=30))
    assert solution.status == "step limit"
    assert solution.steps + solution.rejected == 30
    assert 1 < len(solution.t) < 51
    assert solution.dense is not None
    assert torch.allclose(solution.dense(solution.t), solution.x)


def test_a_field_that_becomes_nan() -> None:
    field: Callable[[Tensor], Tensor] = lambda x: torch.ones_like(x) / (x < 2.0)  # noqa: E731  # infinite from x = 2
    for method in METHODS:
        solution = solve(field, ONE, torch.linspace(0, 3, 7), method=method)
        assert solution.status == "non-finite"
        assert 2 <= len(solution.t) < 5
        assert bool(torch.isfinite(solution.x).all())
    solution = solve(lambda x: x * torch.nan, ONE, [0, 1], method="dopri5")
    assert (solution.status, len(solution.t), solution.dense) == ("non-finite", 1, None)


@pytest.mark.parametrize("method", ["euler", "rk4", "implicit_midpoint"])
def test_a_state_that_becomes_infinite_leaves_the_gradients_of_the_others_alone(method: str) -> None:
    x0 = torch.tensor([[0.1], [3.0], [0.2]], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def gradients(rows: list[int]) -> tuple[Tensor, ...]:
        solution = solve(lambda x: rate * x.square(), x0[rows], [0, 1, 2], method=method, step=0.05)
        return torch.autograd.grad(solution.x[-1, [0, -1]].sum(), (x0, rate))

    for ours, alone in zip(gradients([0, 1, 2]), gradients([0, 2]), strict=True):
        assert torch.allclose(ours, alone, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(0, 2), (3, 0, 2)])
def test_a_batch_without_states(method: str, shape: tuple[int, ...]) -> None:
    x0 = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    solution = solve(pendulum, x0, [0, 0.5, 1], method=method, events=[Event(lambda x: x[..., 0])])
    assert solution.x.shape == (3, *shape)
    assert (solution.status, solution.steps, solution.dense) == ("done", 0, None)
    assert solution.events[0].t.shape == (0, *shape[:-1])
    assert torch.autograd.grad(odeint(pendulum, x0, [0, 1], method=method).sum(), x0)[0].shape == shape


@pytest.mark.parametrize("method", METHODS)
def test_a_field_that_writes_into_its_states_is_refused(method: str) -> None:
    with pytest.raises(UsageError, match="wrote into the states"):
        odeint(lambda x: x.neg_(), states(3, 2), [0, 1], method=method)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "rk5"}, NameNotFound, "Did you mean 'rk4'"),
        ({"method": object()}, UsageError, "no integrator"),
        ({"step": 0}, UsageError, "step"),
        ({"step": math.nan}, UsageError, "step"),
        ({"step": "a"}, UsageError, "step is 'a'"),
        ({"tolerance": 1e-3}, UsageError, r"give ctrlnet\.Tolerance"),
        ({"t": "now"}, UsageError, "two instants"),
        ({"field": lambda x: None}, ShapeError, "to a NoneType"),
        ({"field": lambda t, x: x}, UsageError, r"ctrlnet\.timed"),
        ({"field": lambda t, x: x, "method": "dopri5"}, UsageError, r"ctrlnet\.timed"),
        ({"field": timed(lambda x: x)}, UsageError, "time and state"),
        ({"field": plant()}, UsageError, "ClosedLoop"),
        ({"field": 3}, UsageError, "give a function"),
        ({"gradient": "adjoint"}, UsageError, "Allowed: 'backprop'"),
        ({"events": ["fall"]}, UsageError, "events"),
        ({"t": [0]}, ShapeError, "two instants"),
        ({"t": [0, 1, 1]}, UsageError, "increase strictly"),
        ({"t": [0, math.inf]}, NonFinite, "finite"),
        ({"x0": torch.ones(2, dtype=torch.int64)}, ShapeError, "floating-point"),
        ({"x0": torch.tensor(1.0)}, ShapeError, "x0"),
        ({"x0": torch.ones(2, 0)}, ShapeError, "at least one coordinate"),
        ({"x0": torch.ones(2, 2).to_sparse()}, ShapeError, "dense"),
        ({"x0": torch.tensor([math.nan, 0.0])}, NonFinite, "x0"),
        ({"field": lambda x: x[..., :1]}, ShapeError, "keep shape"),
        ({"field": lambda x: x.double()}, ShapeError, "keep shape and dtype"),
        ({"field": lambda x: x.to("meta")}, ShapeError, "on meta, and the states are on cpu"),
    ],
)
@pytest.mark.parametrize("verb", [solve, odeint])
def test_errors(verb: Callable[..., Any], options: dict[str, Any], error: type[Exception], words: str) -> None:
    call = {"field": pendulum, "x0": torch.ones(2), "t": [0, 1], **options}
    with pytest.raises(error, match=words):
        verb(call.pop("field"), call.pop("x0"), call.pop("t"), **call)


def test_vmap_is_told_what_to_do_instead() -> None:
    with pytest.raises(UsageError, match="batch of states"):
        torch.func.vmap(lambda x: odeint(pendulum, x, [0, 1]))(states(3, 2))


def test_tolerance_errors() -> None:
    for wrong in ({"relative": -1}, {"absolute": 0}, {"steps": 0}, {"relative": math.nan}):
        with pytest.raises(UsageError, match="cannot be met"):
            Tolerance(**wrong)
    for wrong in ({"relative": "x"}, {"steps": 1.5}):
        with pytest.raises(UsageError, match="cannot be met: relative and absolute are numbers"):
            Tolerance(**wrong)


def test_dense_output_at_a_number() -> None:
    dense = solve(torch.neg, states(3, 2), [0, 1]).dense
    assert dense is not None
    assert torch.equal(dense(0.5), dense([0.5])[0])
    assert torch.equal(dense(torch.tensor(0.5)), dense(0.5))
    for wrong in ("x", [], [[0.5]], 1.5):
        with pytest.raises(UsageError, match=r"t is|t has|outside"):
            dense(wrong)  # type: ignore[arg-type]


def test_the_advice_is_for_what_happened() -> None:
    with pytest.raises(SolveFailed, match=r"30 allowed.*Tolerance\(steps="):
        odeint(pendulum, states(2), [0, 50], method="dopri5", tolerance=Tolerance(steps=30))
    with pytest.raises(SolveFailed, match="NaN or infinite there: look for a division"):
        odeint(torch.square, ONE, torch.linspace(0, 20, 201), method="rk4")


def test_an_integrator_that_is_a_class_and_needs_something_else() -> None:
    class Midpoint:
        order, needs = 2, "Field"

        def init(self, field: Any, t: float, x: Tensor) -> None:
            return None

        def step(self, field: Any, t: float, x: Tensor, h: float, carry: None) -> Step:
            return Step(x + h * field(t + h / 2, x + h / 2 * field(t, x)))

    assert math.isclose(
        float(odeint(torch.neg, ONE, [0, 1], method=Midpoint(), step=0.01)[-1]), math.exp(-1), rel_tol=1e-4
    )
    assert torch.equal(*(odeint(torch.neg, ONE, [0, 1], method=m) for m in (Midpoint, Midpoint())))  # type: ignore[arg-type]
    Midpoint.needs = "Separable"
    with pytest.raises(UsageError, match="Separable"):
        odeint(torch.neg, ONE, [0, 1], method=Midpoint())
