"""Compiled steps: the same numbers, few graphs, and the plain steps where there can be no graph."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import ShapeError, Tolerance, load, mlp, odeint, solve, timed
from ctrlnet.integrators import graphs
from ctrlnet.integrators.compiled import CompiledPullback, pulled


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No graphs, nothing said yet, and nothing for a C++ compiler to do."""
    monkeypatch.setattr(graphs, "BACKEND", "aot_eager")
    for kept in (graphs._graphs, graphs._shapes, graphs._said):
        kept.clear()
    yield


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradients(solution: Tensor, *of: Tensor) -> Tensor:
    return torch.cat([one.flatten() for one in torch.autograd.grad(solution.square().sum(), of)])


def unchanged() -> Any:
    """No graph may be made again."""
    return torch._dynamo.config.patch(error_on_recompile=True)


def both(field: Any, x0: Tensor, t: Any, **options: Any) -> tuple[Tensor, Tensor]:
    return odeint(field, x0, t, **options), odeint(field, x0, t, compiled=True, **options)


def test_equal_steps_their_gradients_and_one_graph() -> None:
    network, x0 = mlp((3, 8, 3), seed=0), states(4, 3)
    plain, quick = both(network, x0, [0, 0.5, 1], method="midpoint", step=0.1)
    assert not graphs._said
    assert torch.allclose(plain, quick, rtol=1e-13, atol=1e-13)
    weights = list(network.parameters())
    assert torch.allclose(gradients(plain, *weights), gradients(quick, *weights), rtol=1e-11, atol=1e-12)
    with unchanged():
        odeint(network, x0 + 1, [0, 0.3, 2], method="midpoint", step=0.07, compiled=True)
    assert not graphs._said
    assert len(graphs._graphs) == 1


@pytest.mark.parametrize("method", ["rk4", "ab3", "dopri5"])
def test_steps_taken_at_once_and_those_left_over(method: str) -> None:
    """Three steps, then five and two more, of a field that depends on time."""
    network, x0 = mlp((3, 8, 3), seed=0), states(4, 3)
    field = timed(lambda t, x: network(x) * torch.cos(3 * t))
    plain, quick = both(field, x0, [0, 0.3, 1], method=method, step=0.1)
    assert not graphs._said
    assert torch.allclose(plain, quick, rtol=1e-12, atol=1e-12)
    weights = list(network.parameters())
    assert torch.allclose(gradients(plain, *weights), gradients(quick, *weights), rtol=1e-10, atol=1e-11)


def test_new_weights_and_new_closures_need_no_new_graph() -> None:
    first, second, x0 = mlp((3, 8, 3), seed=0), mlp((3, 8, 3), seed=1), states(4, 3)

    def turned(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: -network(x)

    odeint(turned(first), x0, [0, 1], method="euler", step=0.1, compiled=True)
    with torch.no_grad():
        next(first.parameters()).mul_(2)
    with unchanged():
        plain, quick = both(turned(first), x0, [0, 1], method="euler", step=0.1)
    assert torch.allclose(plain, quick, rtol=1e-13, atol=1e-13)
    assert not graphs._said
    plain, quick = both(turned(second), x0, [0, 1], method="euler", step=0.1)
    assert torch.allclose(plain, quick, rtol=1e-13, atol=1e-13)
    assert not torch.allclose(plain, odeint(turned(first), x0, [0, 1], method="euler", step=0.1), atol=1e-3)


def test_networks_are_not_kept_alive() -> None:
    network = mlp((3, 8, 3), seed=0)
    odeint(network, states(4, 3), [0, 1], method="euler", step=0.5, compiled=True)
    alive = weakref.ref(network)
    del network
    gc.collect()
    assert alive() is None


def test_own_steps_of_a_shrinking_batch_share_graphs() -> None:
    rates = torch.linspace(1, 40, 9, dtype=torch.float64)[:, None]
    x0 = torch.cat([states(9, 2), rates], -1)

    def field(x: Tensor) -> Tensor:
        turn = torch.stack([x[..., 1], -x[..., 0]], -1) * x[..., 2:]
        return torch.cat([turn, torch.zeros_like(x[..., 2:])], -1)

    plain = solve(field, x0, [0, 1], method="bosh3", tolerance=Tolerance(1e-3, 1e-3))
    quick = solve(field, x0, [0, 1], method="bosh3", tolerance=Tolerance(1e-3, 1e-3), compiled=True)
    assert not graphs._said
    assert torch.allclose(plain.x, quick.x, rtol=1e-11, atol=1e-11)
    assert torch.equal(plain.sample_steps, quick.sample_steps)
    assert len(set(plain.sample_steps.tolist())) > 4  # many sizes of the batch
    assert len(graphs._graphs) <= 3  # all, some, one


def test_time_is_no_constant() -> None:
    swing = timed(
        lambda t, x: torch.stack([x[..., 1], -torch.sin(x[..., 0]) + torch.cos(3 * t[..., None])[..., 0]], -1)
    )
    plain, quick = both(swing, states(4, 2), [0, 1], method="midpoint", step=0.1)
    assert torch.allclose(plain, quick, rtol=1e-12, atol=1e-12)
    assert not graphs._said


def test_where_there_can_be_no_graph_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def branching(x: Tensor) -> Tensor:
        return -x if bool(x.sum() > 0) else -2 * x

    with caplog.at_level(logging.WARNING, "ctrlnet"):
        for x0 in (states(4, 3), states(5, 3)):  # two graphs that fail
            plain, quick = both(branching, x0, [0, 1], step=0.1)
            assert torch.equal(plain, quick)
    assert len([one for one in caplog.records if "Compiled steps" in one.message]) == 1


def test_errors_of_the_field_stay_what_they_are() -> None:
    with pytest.raises(ShapeError, match="must keep shape"):
        odeint(lambda x: x[..., :1], states(4, 3), [0, 1], compiled=True)


def test_transforms_of_torch_func_go_through() -> None:
    def end(x: Tensor, compiled: bool) -> Tensor:
        return odeint(lambda x: -x * x, x, [0, 1], step=0.25, compiled=compiled)[-1]

    x0 = states(3).abs()
    jacobians = [torch.func.jacrev(end)(x0, compiled) for compiled in (False, True)]
    assert torch.equal(*jacobians)


def test_pullback_equals_autograd() -> None:
    network, method, x = mlp((3, 8, 3), seed=0), load("integrators", "rk4"), states(4, 3)
    parameters, to = tuple(network.parameters()), states(5, 4, 3)[4]
    rate: Callable[..., Tensor] = lambda t, x: network(x)  # noqa: E731
    quick = CompiledPullback(method, rate, parameters)(0.0, x, 0.1, None, to)
    assert not graphs._said
    start = x.clone().requires_grad_()
    step = method.step(rate, 0.0, start, 0.1, None)
    exact = torch.autograd.grad(step.x, (start, *parameters), to)
    plain = pulled(method, rate, 0.0, x, 0.1, None, parameters, to, (), 1)
    for one, other, wanted in zip(quick, plain, exact, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(other, wanted)
        assert torch.allclose(one, wanted, rtol=1e-11, atol=1e-13)


def test_more_shapes_than_graphs_of_their_own() -> None:
    for size in range(2, 2 + graphs.SHAPES + 4):
        plain, quick = both(torch.neg, states(size, 2), [0, 1], method="euler", step=0.5)
        assert torch.allclose(plain, quick, rtol=1e-13, atol=1e-13)
    assert len(graphs._graphs) == graphs.SHAPES + 1
    assert not graphs._said


@pytest.mark.slow
def test_by_the_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "BACKEND", "inductor")
    network, x0 = mlp((3, 8, 3), seed=0), states(4, 3)
    for method in ("rk4", "dopri5"):
        plain, quick = both(network, x0, [0, 0.5, 1], method=method)
        assert torch.allclose(plain, quick, rtol=1e-12, atol=1e-12)
        weights = list(network.parameters())
        assert torch.allclose(gradients(plain, *weights), gradients(quick, *weights), rtol=1e-10, atol=1e-12)
    assert not graphs._said


@pytest.mark.parametrize("method", ["midpoint", "ab2"])
def test_checkpoint_goes_back_over_blocks_of_steps(method: str) -> None:
    """Seven steps to the first instant and five to the next: blocks, single steps and a start made anew."""
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    push = timed(lambda t, x: torch.stack([x[..., 1], torch.cos(3 * t) * x[..., 0] - rate * x[..., 0].sin()], -1))
    x0 = states(4, 2).requires_grad_()
    found = []
    for how in ({}, {"gradient": "checkpoint", "compiled": True}):
        end = odeint(push, x0, [0, 0.7, 1.2], method=method, step=0.1, **how)
        first = torch.autograd.grad(end.square().sum(), [x0, rate], create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), [x0, rate])
        found.append([end, *first, *second])
    assert not graphs._said
    for plain, quick in zip(*found, strict=True):
        assert torch.allclose(plain, quick, rtol=1e-10, atol=1e-12)
