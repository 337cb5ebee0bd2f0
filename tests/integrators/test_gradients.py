"""Every exact way to a gradient gives that of autograd through the same steps; the continuous one its own error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ctrlnet_plugins.integrators as plugins
import pytest
import torch
from torch import Tensor

from ctrlnet import Event, Separable, Split, Tolerance, UsageError, odeint, solve, timed
from ctrlnet.integrators.gradients import GRADIENTS

D = torch.float64
RUNGE_KUTTA = ("Euler", "Heun", "Midpoint", "Ralston", "RK4", "RK38", "Bosh3", "Dopri5", "Tsit5", "Dopri8")
OTHERS = ("AB2", "AB3", "LM", "ImplicitMidpoint", "Gauss4", "ReversibleHeun", "McCallumFoster")
PAIRS = [(name, mode) for name in RUNGE_KUTTA for mode in ("checkpoint", "symplectic_adjoint")]
PAIRS += [(name, "checkpoint") for name in OTHERS]
PAIRS += [(name, "reversible") for name in ("LM", "ReversibleHeun", "McCallumFoster")]
LOOSE = Tolerance(relative=1e-3, absolute=1e-3)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def method_of(name: str) -> Any:
    if name == "McCallumFoster":
        return plugins.McCallumFoster("rk4", 0.6)
    found = getattr(plugins, name)
    return found() if isinstance(found, type) else found


class Problem:
    """x' of a network in a closure, a leaf beside it and a tensor made from another one."""

    def __init__(self, dtype: torch.dtype = D) -> None:
        self.x0 = numbers(4, 3, seed=1).to(dtype).requires_grad_()
        self.inner, self.outer = (0.8 * numbers(3, 3, seed=k).to(dtype) for k in (2, 3))
        self.skew, self.seed = numbers(3, 3, seed=4).to(dtype), numbers(3, 3, seed=5).to(dtype)
        self.all = [self.x0, self.inner, self.outer, self.skew, self.seed]
        for one in self.all:
            one.requires_grad_()

    def field(self, time: float = 0.3) -> Any:
        made = (self.seed @ self.seed).sin()  # no leaf: the output of another network
        pull = self.skew - self.skew.T
        return timed(lambda t, x: torch.tanh(x @ self.inner) @ self.outer + x @ pull + (time * t).sin() * (x @ made))

    def gradients(self, loss: Callable[[Any], Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(loss(self.field()), self.all)


def weighed(x: Tensor) -> Tensor:
    return (x.nan_to_num() * torch.arange(x.numel()).to(x).reshape(x.shape).cos()).sum() + (
        x[-1].nan_to_num() ** 2
    ).sum()


def gap(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ones, others, strict=True))


def differences(mode: str, t: Any, **options: Any) -> float:
    problem = Problem(options.pop("dtype", D))
    found, wanted = (
        problem.gradients(lambda f, m=m: weighed(odeint(f, problem.x0, t, gradient=m, **options)))  # type: ignore[misc]
        for m in (mode, "backprop")
    )
    return gap(found, wanted)


@pytest.mark.parametrize(("name", "mode"), PAIRS)
def test_equal_steps(name: str, mode: str) -> None:
    assert differences(mode, [0.0, 0.3, 0.5], method=method_of(name), step=0.06) <= 1e-10


@pytest.mark.parametrize("mode", ["checkpoint", "symplectic_adjoint"])
@pytest.mark.parametrize("name", ["Bosh3", "Dopri5", "Tsit5", "Dopri8"])
def test_adaptive_steps_of_each_row_with_instants_inside(name: str, mode: str) -> None:
    method, t = method_of(name), torch.linspace(0, 1, 9, dtype=D)
    for instants in (t, t.flip(0), t[:, None] * torch.tensor([1, 0.3, 0.7, 2])):
        assert differences(mode, instants, method=method, tolerance=LOOSE) <= 1e-10


@pytest.mark.parametrize("name", ["RK4", "AB3", "LM", "ReversibleHeun", "ImplicitMidpoint"])
def test_equal_steps_between_instants_of_each_row(name: str) -> None:
    t = torch.linspace(0, 1, 3, dtype=D)[:, None] * torch.tensor([1, 0.3, 0.7, 2])
    assert differences("checkpoint", t, method=method_of(name), step=0.11) <= 1e-10


def test_single_precision() -> None:
    for mode in ("checkpoint", "symplectic_adjoint"):
        assert differences(mode, [0, 0.5, 1], method="rk4", step=0.1, dtype=torch.float32) <= 1e-5
        assert differences(mode, [0, 0.5, 1], method="dopri5", dtype=torch.float32, tolerance=LOOSE) <= 1e-5
    assert differences("reversible", [0, 1], method=method_of("ReversibleHeun"), step=0.1, dtype=torch.float32) <= 1e-5


@pytest.mark.parametrize("mode", ["checkpoint", "symplectic_adjoint"])
@pytest.mark.parametrize("terminal", [True, False])
def test_events(mode: str, terminal: bool) -> None:
    def gradients(gradient: str) -> Sequence[Tensor]:
        length, x0 = (
            numbers(1).requires_grad_(),
            torch.tensor([[1.0, 0], [0.4, 1], [-1, 0.2]], dtype=D).requires_grad_(),
        )
        swing = lambda x: torch.stack([x[..., 1], -torch.sin(x[..., 0]) * length.exp()], -1)  # noqa: E731
        level = torch.tensor(0.1, dtype=D, requires_grad=True)
        event = Event(lambda x: x[..., 0] - level, terminal=terminal)
        solution = solve(swing, x0, [0, 1.5, 3], method="dopri5", events=[event], gradient=gradient)
        crossing = solution.events[0]
        loss = weighed(solution.x) + weighed(crossing.x) + weighed(crossing.t)
        return torch.autograd.grad(loss, [x0, length, level])

    found = gradients(mode)
    assert all(bool(one.isfinite().all()) for one in found)
    assert gap(found, gradients("backprop")) <= 1e-10


@pytest.mark.parametrize("mode", ["checkpoint", "reversible"])
@pytest.mark.parametrize("name", ["Verlet", "SymplecticEuler", "Strang"])
def test_fields_with_structure(name: str, mode: str) -> None:
    method, x0 = method_of(name), numbers(4, 2).requires_grad_()
    if not hasattr(method, "back") and mode == "reversible":
        return
    stiffness, mass = (numbers(1, seed=k).exp().requires_grad_() for k in (6, 7))
    parts = (lambda p: p / mass, lambda q: -stiffness * torch.sin(q))
    if method.needs == "Split":
        parts = (lambda x: x.flip(-1) * mass, lambda x: -stiffness * torch.sin(x))
    field = (Split if method.needs == "Split" else Separable)(*parts)
    found, wanted = (
        torch.autograd.grad(
            weighed(odeint(field, x0, [0, 1, 2.5], method=method, step=0.1, gradient=m)), [x0, stiffness, mass]
        )
        for m in (mode, "backprop")
    )
    assert gap(found, wanted) <= 1e-10


@pytest.mark.parametrize("name", ["Euler", "Midpoint", "RK4", "Dopri5"])
def test_symplectic_adjoint_conserves_the_product_with_tangents(name: str) -> None:
    """<λ, δ> is the same at both ends of every step: λ by the adjoint, δ by the derivative of the solver."""
    problem, method, t = Problem(), method_of(name), torch.linspace(0, 2, 41)
    field, weight, tangent = problem.field(), numbers(4, 3, seed=8), numbers(4, 3, seed=9)
    x0 = problem.x0.detach()
    _, tangents = torch.func.jvp(lambda x: odeint(field, x, t, method=method, step=1), (x0,), (tangent,))
    states, products = odeint(field, x0, t, method=method, step=1).detach(), list[float]()
    for number in range(0, 41, 5):
        start = states[number].requires_grad_()
        end = (
            odeint(field, start, t[number:], method=method, step=1, gradient="symplectic_adjoint")[-1]
            if number < 40
            else start
        )
        (adjoint,) = torch.autograd.grad((end * weight).sum(), start)
        products.append(float((adjoint * tangents[number]).sum().detach()))
    assert max(abs(one - products[0]) for one in products) <= 1e-13 * max(1, abs(products[0]))


@pytest.mark.parametrize(
    ("name", "known"), [("RK4", 1.2e-9), ("Heun", 1.5e-6), ("Midpoint", 8.6e-5), ("Dopri5", 7.7e-13)]
)
def test_the_adjoint_equation_by_the_same_method_is_as_wrong_as_known(name: str, known: float) -> None:
    """40 steps on [0, 2], a network 6-32-6: exact by stages, wrong by the known size when solved backwards."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 6)).to(D)
    x0 = numbers(8, 6).requires_grad_()
    found = {}
    for mode in ("backprop", "symplectic_adjoint", "continuous_adjoint"):
        end = odeint(network, x0, [0, 2], method=method_of(name), step=0.05, gradient=mode)[-1]
        found[mode] = torch.autograd.grad((end**2).sum(), [x0, *network.parameters()])
    assert gap(found["symplectic_adjoint"], found["backprop"]) <= 1e-14
    assert known / 30 <= gap(found["continuous_adjoint"], found["backprop"]) <= 30 * known


@pytest.mark.parametrize(
    ("name", "order"), [("Euler", 1), ("Midpoint", 2), ("AB2", 2), ("ImplicitMidpoint", 2), ("Bosh3", 3), ("RK4", 4)]
)
def test_the_error_of_the_continuous_adjoint_falls_with_the_order(name: str, order: int) -> None:
    x0, stiffness = (
        torch.tensor([1.2, 0.3], dtype=D, requires_grad=True),
        torch.tensor(1.1, dtype=D, requires_grad=True),
    )

    def swing(x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], -stiffness * (torch.sin(x[..., 0]) + 0.4 * x[..., 1] ** 2)], -1)

    def derivatives(mode: str, count: int) -> Sequence[Tensor]:
        end = odeint(swing, x0, [0, 0.8, 1.6], method=method_of(name), step=0.8 / count, gradient=mode)
        return torch.autograd.grad(end[1:].cos().sum(), [x0, stiffness])

    errors = [gap(derivatives("continuous_adjoint", n), derivatives("backprop", n)) for n in (16, 32)]
    assert abs(math.log2(errors[0] / errors[1]) - order) <= 0.15


def test_the_continuous_adjoint_is_as_exact_as_its_tolerance() -> None:
    t = torch.linspace(0, 0.4, 3, dtype=D)
    for instants in (t, t.flip(0), t[:, None] * torch.tensor([1, 0.3, 0.7, 2])):
        loose, tight = (
            differences("continuous_adjoint", instants, method="dopri5", tolerance=Tolerance(relative=r, absolute=r))
            for r in (1e-3, 1e-8)
        )
        assert tight <= 1e-6
        assert tight < 1e-2 * loose


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_second_derivatives(gradient: str) -> None:
    name = "ReversibleHeun" if gradient == "reversible" else "RK4"
    matrix, x0 = numbers(2, 2).requires_grad_(), numbers(1, 2, seed=1).requires_grad_()

    def end(x0: Tensor, matrix: Tensor) -> Tensor:
        made = matrix * 1.0  # no leaf
        return odeint(
            lambda x: torch.tanh(x @ made), x0, [0, 0.1, 0.3], method=method_of(name), step=0.1, gradient=gradient
        )

    assert torch.autograd.gradcheck(end, (x0, matrix))
    assert torch.autograd.gradgradcheck(end, (x0, matrix))


@pytest.mark.parametrize("gradient", ["checkpoint", "symplectic_adjoint"])
def test_second_derivatives_over_steps_of_each_row(gradient: str) -> None:
    problem = Problem()
    t = torch.linspace(0, 1, 4, dtype=D)

    def second(mode: str) -> Sequence[Tensor]:
        x = odeint(problem.field(), problem.x0, t, method="dopri5", tolerance=LOOSE, gradient=mode)
        first = torch.autograd.grad(weighed(x), problem.all, create_graph=True)
        return torch.autograd.grad(sum((one**2).sum() for one in first), problem.all)  # type: ignore[arg-type]

    assert gap(second(gradient), second("backprop")) <= 1e-10


def test_modes_that_do_not_serve_say_which_do() -> None:
    x0 = numbers(2, 2).requires_grad_()
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("symplectic_adjoint", {"method": plugins.AB3(), "step": 0.1}, "'checkpoint'"),
        ("reversible", {"method": "rk4", "step": 0.1}, "reversible_heun"),
        ("reversible", {"method": plugins.ReversibleHeun(), "events": [Event(lambda x: x[..., 0])]}, "equal steps"),
        ("continuous_adjoint", {"method": "dopri5", "events": [Event(lambda x: x[..., 0])]}, "no events"),
    ]
    for gradient, options, words in cases:
        with pytest.raises(UsageError, match=words):
            solve(torch.sin, x0, [0, 1], gradient=gradient, **options)
    with pytest.raises(UsageError, match="backprop"):
        torch.func.grad(lambda x: odeint(torch.sin, x, [0, 1], gradient="checkpoint").sum())(x0)
