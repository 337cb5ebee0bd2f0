"""Third derivatives of every way to a gradient are those of autograd through the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from gradient_problems import Problem, gap, method_of, weighed
from torch import Tensor

from ctrlnet import Tolerance, odeint

CASES = [
    ("checkpoint", "RK4", {"step": 0.25}),
    ("checkpoint", "AB2", {"step": 0.25}),
    ("symplectic_adjoint", "Heun", {"step": 0.25}),
    ("symplectic_adjoint", "Bosh3", {"tolerance": Tolerance(1e-2, 1e-2)}),
    ("reversible", "ReversibleHeun", {"step": 0.25}),
]


def third(mode: str, name: str, options: dict[str, Any]) -> Sequence[Tensor]:
    """Of a loss with the Hessian's product with a vector in it, which also depends on the start by itself."""
    problem = Problem()

    def loss(field: Any) -> Tensor:
        x = odeint(field, problem.x0, [0, 0.5, 1], method=method_of(name), gradient=mode, **options)
        first = torch.autograd.grad(weighed(x), problem.all, create_graph=True)
        bent = torch.autograd.grad(sum(one.sum() for one in first), problem.all, create_graph=True)
        return torch.stack([one.sin().sum() for one in bent]).sum() + problem.x0.pow(3).sum()

    return problem.gradients(loss)


@pytest.mark.parametrize(("mode", "name", "options"), CASES)
def test_third_derivatives(mode: str, name: str, options: dict[str, Any]) -> None:
    assert gap(third(mode, name, options), third("backprop", name, options)) <= 1e-8


def test_those_of_the_adjoint_equation_are_of_the_discrete_solution() -> None:
    """From the second on."""
    x0, found = torch.tensor([1.2], dtype=torch.float64, requires_grad=True), []
    for mode in ("continuous_adjoint", "backprop"):
        y = odeint(torch.sin, x0, [0, 1], step=0.25, gradient=mode)[-1]
        for _ in range(3):
            (y,) = torch.autograd.grad(y.sum(), x0, create_graph=True)
        found.append([y.detach()])
    assert gap(*found) <= 1e-12
