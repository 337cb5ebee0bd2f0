"""Every exact way to a gradient gives that of autograd through the same steps, and says what it does not serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ctrlnet_plugins.integrators as plugins
import pytest
import torch
from gradient_problems import D, Problem, differences, gap, method_of, numbers, weighed
from torch import Tensor

from ctrlnet import Energy, Event, NetworkEnergy, Separable, Split, Tolerance, UsageError, odeint, solve, timed

RUNGE_KUTTA = ("Euler", "Heun", "Midpoint", "Ralston", "RK4", "RK38", "Bosh3", "Dopri5", "Tsit5", "Dopri8")
OTHERS = ("AB2", "AB3", "LM", "ImplicitMidpoint", "Gauss4", "ReversibleHeun", "McCallumFoster")
PAIRS = [(name, mode) for name in RUNGE_KUTTA for mode in ("checkpoint", "symplectic_adjoint")]
PAIRS += [(name, "checkpoint") for name in OTHERS]
PAIRS += [(name, "reversible") for name in ("LM", "ReversibleHeun", "McCallumFoster")]
LOOSE = Tolerance(relative=1e-3, absolute=1e-3)


@pytest.mark.parametrize(("name", "mode"), PAIRS)
def test_equal_steps(name: str, mode: str) -> None:
    assert differences(mode, [0.0, 0.3, 0.5], method=method_of(name), step=0.06) <= 1e-10


@pytest.mark.parametrize("mode", ["checkpoint", "symplectic_adjoint"])
@pytest.mark.parametrize("name", ["Bosh3", "Dopri5", "Tsit5", "Dopri8"])
def test_adaptive_steps_of_each_row_with_instants_inside(name: str, mode: str) -> None:
    method, t = method_of(name), torch.linspace(0, 1, 9, dtype=D)
    for instants in (t, t.flip(0), t[:, None] * torch.tensor([1, 0.3, 0.7, 2])):
        assert differences(mode, instants, method=method, tolerance=LOOSE) <= 1e-10


@pytest.mark.parametrize("name", ["RK4", "ReversibleHeun", "ImplicitMidpoint"])
def test_equal_steps_between_instants_of_each_row(name: str) -> None:
    t = torch.linspace(0, 1, 3, dtype=D)[:, None] * torch.tensor([1, 0.3, 0.7, 2])
    assert differences("checkpoint", t, method=method_of(name), step=0.11) <= 1e-10


def test_the_last_stage_of_a_rejected_step_is_not_that_of_the_next() -> None:
    """Also where the first step of all is rejected."""
    field = timed(lambda t, x: -1000 * torch.sigmoid((t - 0.003) / 1e-4) * (x - 1) + 0.01)
    x0 = torch.tensor([[0.5], [1.0]], dtype=D)
    solution = solve(field, x0, [0, 0.01], method="dopri5")
    assert solution.rejected > 0
    assert solution.dense is not None
    for move in solution.dense.moves:
        assert move.before is not None
        assert torch.allclose(move.before[-1], field(torch.as_tensor(move.t), move.x), rtol=1e-9, atol=1e-9)


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


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, mode) for name in ("Verlet", "SymplecticEuler") for mode in ("checkpoint", "reversible")),
        *((name, "checkpoint") for name in ("Lie", "Strang", "IMEXEuler", "ARS222", "AVF")),
    ],
)
def test_fields_with_structure(name: str, mode: str) -> None:
    method, x0 = method_of(name), numbers(4, 2).requires_grad_()
    stiffness, mass = numbers(1, seed=6).exp().requires_grad_(), numbers(1, seed=7).exp().requires_grad_()
    matrix, turn = numbers(2, 2, seed=8).requires_grad_(), torch.tensor([[0.0, 1], [-1, 0]], dtype=D)
    network = NetworkEnergy(numbers(5, 2), numbers(5))
    wanted = [*network.parameters()] if method.needs == "Energy" else [stiffness, mass, matrix]

    def field() -> Any:
        if method.needs == "Separable":
            return Separable(lambda p: p / mass, lambda q: -stiffness * torch.sin(q) + matrix.sum())
        if method.needs == "Split":
            return Split(-matrix @ matrix.T, lambda x: mass * torch.sin(stiffness * x))
        return Energy(network, turn)

    def gradients(gradient: str) -> Sequence[Tensor]:
        x = odeint(field(), x0, [0, 1, 1.5], method=method, step=0.1, gradient=gradient)
        return torch.autograd.grad(weighed(x), [x0, *wanted])

    assert gap(gradients(mode), gradients("backprop")) <= 1e-10


@pytest.mark.parametrize("name", ["Euler", "Midpoint", "RK4", "Dopri5"])
def test_symplectic_adjoint_conserves_the_product_with_tangents(name: str) -> None:
    """<λ, δ> is the same at both ends of every step: λ by the adjoint, δ by the derivative of the solver."""
    problem, method, t = Problem(), method_of(name), torch.linspace(0, 2, 41)
    field, weight, tangent = problem.field(), numbers(4, 3, seed=8), numbers(4, 3, seed=9)
    x0 = problem.x0.detach()
    _, tangents = torch.func.jvp(lambda x: odeint(field, x, t, method=method, step=1), (x0,), (tangent,))
    states, products = odeint(field, x0, t, method=method, step=1).detach(), list[float]()
    for number in range(0, 41, 10):
        start = states[number].requires_grad_()
        end = (
            odeint(field, start, t[number:], method=method, step=1, gradient="symplectic_adjoint")[-1]
            if number < 40
            else start
        )
        (adjoint,) = torch.autograd.grad((end * weight).sum(), start)
        products.append(float((adjoint * tangents[number]).sum().detach()))
    assert max(abs(one - products[0]) for one in products) <= 1e-13 * max(1, abs(products[0]))


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
