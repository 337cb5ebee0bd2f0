"""The adjoint equation solved backwards, as wrong as the solver; second derivatives of every way to a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from gradient_problems import D, Problem, differences, gap, method_of, numbers, weighed
from torch import Tensor

from ctrlnet import Tolerance, odeint
from ctrlnet.integrators.gradients import GRADIENTS

LOOSE = Tolerance(relative=1e-3, absolute=1e-3)


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
