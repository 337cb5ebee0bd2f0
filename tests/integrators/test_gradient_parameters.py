"""Tensors with derivatives are found wherever they live, or their absence is an error; nothing is kept too long."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import ctrlnet_plugins.integrators as plugins
import pytest
import torch
from torch import Tensor, nn

from ctrlnet import UsageError, mlp, odeint, solve, timed
from ctrlnet.integrators.gradients.modes import Trip

D = torch.float64
EXACT = ("checkpoint", "symplectic_adjoint", "reversible")
SHARED = torch.tensor([[0.2, -1.0], [0.7, 0.1]], dtype=D, requires_grad=True)


def options(gradient: str) -> dict[str, Any]:
    method = plugins.ReversibleHeun() if gradient == "reversible" else "rk4"
    return {"gradient": gradient, "method": method, "step": 0.1}


def start(rows: int = 3, n: int = 2) -> Tensor:
    return torch.randn(rows, n, dtype=D, generator=torch.Generator().manual_seed(0))


def same(make: Callable[[], Any], wanted: Sequence[Tensor], gradient: str) -> None:
    """The derivatives are those of autograd through the same steps."""
    both = []
    for mode in (gradient, "backprop"):
        x = odeint(make(), start(), [0, 0.5, 1], **(options(gradient) | {"gradient": mode}))
        both.append(torch.autograd.grad((x**2).sum(), wanted))
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
        assert bool(other.any())


@pytest.mark.parametrize("gradient", EXACT)
def test_parameters_everywhere(gradient: str) -> None:
    torch.manual_seed(0)
    network, other = nn.Linear(2, 2, dtype=D), nn.Linear(2, 2, dtype=D)
    in_list = [torch.tensor([0.3, 0.4], dtype=D, requires_grad=True)]
    seed = torch.tensor([[0.1, 0.3], [0.5, -0.2]], dtype=D, requires_grad=True)
    same(lambda: network, list(network.parameters()), gradient)
    same(lambda: lambda x: torch.tanh(x @ SHARED) * in_list[0], [SHARED, *in_list], gradient)
    same(lambda: lambda x: other(torch.tanh(x)) + network(x), [*other.parameters(), *network.parameters()], gradient)

    def hyper() -> Any:
        made = (seed @ seed).tanh()
        return timed(lambda t, x: x @ made + t * (x @ seed))  # of another tensor, and of that itself

    same(hyper, [seed], gradient)


@pytest.mark.parametrize("gradient", EXACT)
def test_a_field_that_differentiates(gradient: str) -> None:
    """x' = -∇E(x), the gradient by autograd or by torch.func, with the parameters of E."""
    weight = torch.tensor([[0.2, 0.5], [-0.3, 0.8]], dtype=D, requires_grad=True)
    energy = lambda x: torch.tanh(x @ weight).square().sum()  # noqa: E731
    same(lambda: lambda x: -torch.func.grad(energy)(x), [weight], gradient)

    def by_autograd(x: Tensor) -> Tensor:
        with torch.enable_grad():
            y = x if x.requires_grad else x.detach().requires_grad_()
            return -torch.autograd.grad(energy(y), y, create_graph=True)[0]

    same(lambda: by_autograd, [weight], gradient)


@pytest.mark.parametrize("gradient", EXACT)
def test_a_parameter_of_another_branch(gradient: str) -> None:
    """It is an error where nothing says that it exists, and found in a module."""

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late = nn.Parameter(torch.tensor([0.5, -0.5], dtype=D))

        def forward(self, t: Tensor, x: Tensor) -> Tensor:
            return torch.sin(x) * self.late if float(t.max()) > 0.55 else torch.sin(x)

    late = Late()
    same(lambda: timed(late), [late.late], gradient)
    hidden = [[late.late.detach().requires_grad_()]]
    field = timed(lambda t, x: torch.sin(x) * hidden[0][0] if float(t.max()) > 0.55 else torch.sin(x))
    x = odeint(field, start().requires_grad_(), [0, 1], **options(gradient))
    with pytest.raises(UsageError, match="another branch"):
        x.sum().backward()


@pytest.mark.parametrize("gradient", ["checkpoint", "reversible"])
def test_parameters_of_the_method(gradient: str) -> None:
    k, both = torch.tensor(0.5, dtype=D, requires_grad=True), []
    for mode in (gradient, "backprop"):
        x = odeint(torch.sin, start(), [0, 3], method=plugins.LM(k), step=0.1, gradient=mode)
        both.append(torch.autograd.grad(x.sum(), k)[0])
    assert torch.allclose(both[0], both[1], rtol=1e-10)


@pytest.mark.parametrize("gradient", [*EXACT, "continuous_adjoint"])
def test_without_derivatives_nothing_is_kept(gradient: str) -> None:
    weight = torch.ones(2, dtype=D, requires_grad=True)
    assert not odeint(torch.sin, start(), [0, 1], **options(gradient)).requires_grad
    with torch.no_grad():
        assert not odeint(lambda x: x * weight, start(), [0, 1], **options(gradient)).requires_grad


@pytest.mark.parametrize("gradient", [*EXACT, "continuous_adjoint"])
def test_nothing_stays_in_memory(gradient: str) -> None:
    weight = torch.ones(2, dtype=D, requires_grad=True)

    def freed(backward: bool) -> bool:
        solution = solve(lambda x: torch.sin(x) * weight, start().requires_grad_(), [0, 1], **options(gradient))
        if backward:
            solution.x.sum().backward()
        watched = [weakref.ref(one) for one in gc.get_objects() if type(one) is Trip]
        assert len(watched) == 1
        del solution
        return watched[0]() is None

    gc.collect()
    gc.disable()  # nothing may wait for it
    try:
        assert freed(backward=False)
        assert freed(backward=True)
    finally:
        gc.enable()


def held(gradient: str, steps: int) -> int:
    """Numbers in tensors that stay between the solution and its derivative."""
    gc.collect()
    before = {id(one) for one in gc.get_objects() if type(one) is Tensor}
    x = odeint(torch.sin, start(50).requires_grad_(), [0, 1], **(options(gradient) | {"step": 1 / steps}))
    after = [one for one in gc.get_objects() if type(one) is Tensor and id(one) not in before]
    assert x.requires_grad
    return sum(one.numel() for one in after)


def test_what_is_held() -> None:
    """The states of all steps with "checkpoint" and by stages, those at the ends on the way back."""
    for gradient in ("checkpoint", "symplectic_adjoint"):
        assert 100 * 100 <= held(gradient, 100) <= 100 * 100 + 800
    for gradient in ("reversible", "continuous_adjoint"):
        assert held(gradient, 100) == held(gradient, 20) <= 1000


def test_states_that_cannot_be_recovered() -> None:
    """A field that contracts a lot cannot be followed back: an error, where McCallum and Foster's guard is avoided."""
    x0 = torch.ones(1, 1, dtype=D, requires_grad=True)
    x = odeint(lambda x: -5 * x, x0, [0, 8], method=plugins.ReversibleHeun(), step=0.01, gradient="reversible")
    with pytest.raises(UsageError, match="could not be recovered"):
        x[-1].sum().backward()


def test_parameters_changed_before_the_derivative() -> None:
    weight = torch.ones(2, dtype=D, requires_grad=True)
    x = odeint(lambda x: torch.sin(x) * weight, start(), [0, 1], **options("checkpoint"))
    with torch.no_grad():
        weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        x.sum().backward()


@pytest.mark.parametrize("gradient", EXACT)
def test_rows_that_became_infinite_do_not_spoil_the_others(gradient: str) -> None:
    x0, weight = torch.tensor([[0.1], [3.0]], dtype=D, requires_grad=True), torch.ones(1, dtype=D, requires_grad=True)
    solution = solve(lambda x: weight * x**7, x0, [0, 0.5, 1], **options(gradient))
    assert solution.statuses.tolist() == [0, 4]
    solution.x.nan_to_num().sum().backward()
    alone = torch.tensor([[0.1]], dtype=D, requires_grad=True)
    other = torch.ones(1, dtype=D, requires_grad=True)
    odeint(lambda x: other * x**7, alone, [0, 0.5, 1], **options(gradient)).sum().backward()
    assert x0.grad is not None
    assert alone.grad is not None
    assert torch.allclose(x0.grad[0], alone.grad[0], rtol=1e-12)
    assert bool(x0.grad.isfinite().all())
    assert bool(weight.grad.isfinite().all())  # type: ignore[union-attr]


@pytest.mark.parametrize("gradient", ["checkpoint", "symplectic_adjoint", "continuous_adjoint"])
def test_a_parameter_for_each_row(gradient: str) -> None:
    """The field cannot be asked about some rows alone, and rows are accepted and rejected one by one."""
    rate = torch.tensor([[0.2], [12.0], [4.0]], dtype=D, requires_grad=True)
    field = timed(lambda t, x: torch.stack([rate[:, 0] * x[..., 1], -rate[:, 0] * torch.sin(x[..., 0])], -1))
    x0, both = start().requires_grad_(), []
    for mode in (gradient, "backprop"):
        x = odeint(field, x0, [0, 0.3, 1], method="dopri5", gradient=mode)
        both.append(torch.autograd.grad((x**2).sum(), [x0, rate]))
    for one, other in zip(*both, strict=True):
        assert float((one - other).abs().max()) <= (1e-3 if gradient == "continuous_adjoint" else 1e-10) * float(
            other.abs().max()
        )


@pytest.mark.parametrize("gradient", EXACT)
def test_weights_that_are_made_once_and_kept(gradient: str) -> None:
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(2, 2, dtype=D))
    both = []
    for mode in (gradient, "backprop"):
        with nn.utils.parametrize.cached():
            x = odeint(layer, start(), [0, 0.5, 1], **(options(gradient) | {"gradient": mode}))
            both.append(torch.autograd.grad((x**2).sum(), list(layer.parameters())))
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", EXACT)
def test_compiled_fields_and_steps(gradient: str) -> None:
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).to(D)
    wanted = list(network.parameters())
    same(lambda: torch.compile(network), wanted, gradient)
    both = []
    for extra in ({"compiled": True}, {"gradient": "backprop"}):
        x = odeint(network, start(), [0, 0.5, 1], **(options(gradient) | extra))
        both.append(torch.autograd.grad((x**2).sum(), wanted))
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gradient", ["checkpoint", "symplectic_adjoint", "continuous_adjoint"])
def test_a_field_with_random_values_is_refused(gradient: str) -> None:
    noisy = torch.nn.Sequential(mlp((2, 8, 2), seed=0), torch.nn.Dropout(0.5))
    with pytest.raises(UsageError, match=r"other values.*eval\(\)"):
        odeint(noisy, torch.ones(3, 2, dtype=torch.float64), [0, 1], gradient=gradient)
