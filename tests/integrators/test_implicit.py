"""Implicit midpoint and Gauss: order, invariants, contraction at any step, derivatives, equations without solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ctrlnet_plugins.integrators import Euler, Gauss4, ImplicitMidpoint
from marches import X0, march, pendulum, swung
from swings import ROTATION, defect, energy, largest_error
from torch import Tensor

METHODS = {"implicit_midpoint": ImplicitMidpoint(), "gauss4": Gauss4()}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky": lambda s: torch.nn.functional.leaky_relu(s, 0.2),
}
every_method = pytest.mark.parametrize("name", METHODS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def descent(activation: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Callable[[Any, Tensor], Tensor]:
    """x' = -Aᵀ σ(A x + b): a contracting field."""
    return lambda t, x: -activation(x @ a.T + b) @ a


def expansion(method: Any, field: Callable[..., Tensor], x: Tensor, y: Tensor, h: float) -> float:
    """The largest ratio of the distances of pairs after and before a step; infinite where a step failed."""
    ratio = (march(method, field, x, h, 1) - march(method, field, y, h, 1)).norm(dim=-1) / (x - y).norm(dim=-1)
    return float(ratio.nan_to_num(math.inf).max())


@pytest.mark.parametrize(("name", "order", "measured"), [("implicit_midpoint", 2, 1.6e-5), ("gauss4", 4, 2.6e-11)])
def test_order_and_error(name: str, order: int, measured: float) -> None:
    errors = [float((march(METHODS[name], pendulum, X0, 1 / n, 2 * n) - swung()).norm()) for n in (20, 40, 80)]
    slopes = [math.log2(errors[0] / errors[1]), math.log2(errors[1] / errors[2])]
    assert METHODS[name].order == order
    assert all(abs(slope - order) < 0.02 for slope in slopes), slopes
    assert abs(errors[-1] / measured - 1) < 0.05


@every_method
def test_order_in_explicit_time(name: str) -> None:
    one, field = torch.ones(1, dtype=torch.float64), lambda t, x: x * math.cos(t)  # x = exp(sin t)
    errors = [abs(float(march(METHODS[name], field, one, 1 / n, n)) - math.exp(math.sin(1))) for n in (5, 10, 20)]
    assert abs(math.log2(errors[1] / errors[2]) - METHODS[name].order) < 0.1


@pytest.mark.parametrize("z", [-0.1, -100.0, -1e8, 1j, 100j, complex(-3, 40), complex(1, 1)])
def test_stability_functions(z: complex) -> None:
    """The Padé approximants of the exponential: A-stable, of modulus 1 on the imaginary axis."""
    z = complex(z)
    matrix = torch.tensor([[z.real, -z.imag], [z.imag, z.real]], dtype=torch.float64)
    expected = {
        "implicit_midpoint": (1 + z / 2) / (1 - z / 2),
        "gauss4": (1 + z / 2 + z * z / 12) / (1 - z / 2 + z * z / 12),
    }
    for name, method in METHODS.items():
        found = march(method, lambda t, x: x @ matrix.T, torch.tensor([1.0, 0.0], dtype=torch.float64), 1.0, 1)
        assert abs(complex(*found.tolist()) - expected[name]) < 1e-12


@every_method
def test_symplectic(name: str) -> None:
    assert defect(METHODS[name], pendulum, X0, 0.3) < 1e-12


def test_energy_of_the_midpoint_rule_and_its_reversal() -> None:
    method = ImplicitMidpoint()
    assert abs(largest_error(energy, method, pendulum, X0, 0.1, 1000) / 1.93e-4 - 1) < 0.01
    back = march(method, pendulum, march(method, pendulum, X0, 0.1, 1000), -0.1, 1000)
    assert float((back - X0).abs().max()) < 1e-13


@pytest.mark.slow
def test_energy_of_the_midpoint_rule_over_ten_times_as_long() -> None:
    assert abs(largest_error(energy, ImplicitMidpoint(), pendulum, X0, 0.1, 10_000) / 1.93e-4 - 1) < 0.01


def rotating(n: int = 4) -> tuple[Callable[..., Tensor], Tensor]:
    """x' = (K - Kᵀ) x, and a start."""
    k = normal(n, n, seed=1)
    return lambda t, x: x @ (k - k.T).T, torch.linspace(0.2, 1, n, dtype=torch.float64)


@every_method
def test_quadratic_invariants_are_kept(name: str) -> None:
    field, x = rotating()
    assert largest_error(lambda x: (x**2).sum(-1), METHODS[name], field, x, 0.1, 200) < 2e-14

    def sphere(t: Any, x: Tensor) -> Tensor:  # (K(x) - K(x)ᵀ) x
        return torch.tanh(x.sum(-1, keepdim=True)) * (x @ ROTATION.T)

    assert largest_error(lambda x: (x**2).sum(-1), METHODS[name], sphere, X0, 0.5, 200) < 2e-14


@pytest.mark.slow
@every_method
def test_quadratic_invariants_over_ten_thousand_steps(name: str) -> None:
    field, x = rotating()
    assert largest_error(lambda x: (x**2).sum(-1), METHODS[name], field, x, 0.1, 10_000) < 1e-13


@every_method
@every_activation
@pytest.mark.parametrize("h", [0.1, 1.0, 100.0])
def test_solutions_of_a_contracting_field_never_move_apart(name: str, activation: str, h: float) -> None:
    field = descent(ACTIVATIONS[activation], normal(8, 5), normal(8, seed=1))
    x, y = 3 * normal(400, 5, seed=2), 3 * normal(400, 5, seed=3)
    assert expansion(METHODS[name], field, x, y, h) <= 1 + 1e-12


@every_method
def test_steps_far_beyond_where_newton_alone_arrives(name: str) -> None:
    field = descent(torch.tanh, normal(8, 5), normal(8, seed=1))
    x, y = 3 * normal(100, 5, seed=2), 3 * normal(100, 5, seed=3)
    assert expansion(METHODS[name], field, x, y, 1e5) <= 1 + 1e-12


@every_activation
def test_euler_contracts_up_to_two_over_the_square_of_the_norm(activation: str) -> None:
    a = normal(8, 5)
    limit = 2 / float(torch.linalg.matrix_norm(a, 2)) ** 2
    field = descent(ACTIVATIONS[activation], a, normal(8, seed=1))
    x, y = 3 * normal(20_000, 5, seed=2), 3 * normal(20_000, 5, seed=3)
    assert expansion(Euler, field, x, y, limit) <= 1 + 1e-12
    worst = torch.linalg.svd(a).Vh[0]
    active = descent(ACTIVATIONS[activation], a, torch.zeros(8, dtype=torch.float64))
    if activation == "tanh":  # slope 1 at 0 alone
        near = 1e-4 * worst
        assert expansion(Euler, active, near, -near, 2 * limit) > 2.9
    else:  # half the units, or those of an other sign, have slope 1
        expanded = descent(ACTIVATIONS[activation], a, torch.full((8,), 100.0, dtype=torch.float64))
        assert abs(expansion(Euler, expanded, worst, -worst, 2 * limit) - 3) < 1e-12


@every_activation
def test_one_sided_lipschitz_constant_of_a_gradient_flow(activation: str) -> None:
    """<f(y) - f(x), y - x> <= -a μ² |y - x|², μ the smallest singular value of A, a the least slope of σ."""
    a = normal(8, 5)
    field = descent(ACTIVATIONS[activation], a, normal(8, seed=1))
    x, y = 3 * normal(20_000, 5, seed=2), 3 * normal(20_000, 5, seed=3)
    products = ((field(0, y) - field(0, x)) * (y - x)).sum(-1) / ((y - x) ** 2).sum(-1)
    least = 0.2 if activation == "leaky" else 0.0
    assert float(products.max()) <= -least * float(torch.linalg.svdvals(a)[-1]) ** 2 + 1e-12


def network(x: Tensor, weight: Tensor, bias: Tensor, t: float | Tensor) -> Tensor:
    return torch.tanh(x @ weight.T + bias) @ -weight * (1 + t) ** 2


def given(h: float) -> tuple[Tensor, ...]:
    """x, weight, bias, h and t to differentiate by, each row of states with its own time and step."""
    columns = [torch.tensor([[h], [-h / 2]]), torch.tensor([[0.3], [0.1]])]
    values = [normal(2, 3), normal(3, 3, seed=1), normal(3, seed=2), *(column.double() for column in columns)]
    return tuple(value.requires_grad_() for value in values)


@every_method
@pytest.mark.parametrize("h", [0.1, 2.0])
def test_first_and_second_derivatives(name: str, h: float) -> None:
    def stepped(x: Tensor, weight: Tensor, bias: Tensor, h: Tensor, t: Tensor) -> Tensor:
        return METHODS[name].step(lambda t, x: network(x, weight, bias, t), t, x, h, None).x

    torch.autograd.gradcheck(stepped, given(h), check_forward_ad=True, fast_mode=True)
    torch.autograd.gradgradcheck(stepped, given(h), fast_mode=True)


@every_method
def test_functional_derivatives(name: str) -> None:
    x, weight, bias, *_ = (value.detach() for value in given(0.5))

    def stepped(x: Tensor) -> Tensor:
        return march(METHODS[name], lambda t, x: network(x, weight, bias, t), x, 0.5, 2)

    forward, reverse = torch.func.jacfwd(stepped)(x), torch.func.jacrev(stepped)(x)
    assert torch.allclose(forward, reverse, atol=1e-13)
    assert torch.allclose(torch.autograd.functional.jacobian(stepped, x), reverse, atol=1e-13)
    curvature = torch.func.hessian(lambda x: stepped(x).sin().sum())(x)
    expected = torch.autograd.functional.hessian(lambda x: stepped(x).sin().sum(), x)
    assert torch.allclose(curvature, expected, atol=1e-12)


def test_gradient_equals_that_of_the_unrolled_iteration() -> None:
    x, weight, bias, *_ = given(0.1)

    def unrolled(x: Tensor, h: float) -> Tensor:
        d = torch.zeros_like(x)
        for _ in range(80):
            d = h * network(x + d / 2, weight, bias, h / 2)
        return x + d

    step = march(ImplicitMidpoint(), lambda t, x: network(x, weight, bias, t), x, 0.1, 1)
    found = torch.autograd.grad((step**3).sum(), (x, weight, bias))
    expected = torch.autograd.grad((unrolled(x, 0.1) ** 3).sum(), (x, weight, bias))
    for gradient, other in zip(found, expected, strict=True):
        assert float((gradient - other).norm()) <= 1e-12 * float(other.norm())


@pytest.mark.parametrize("h", [0.05, 3.0])  # by iteration, and by Newton's method
def test_two_hundred_coordinates(h: float) -> None:
    a = normal(200, 200) / math.sqrt(200)
    field, x = descent(torch.tanh, a, normal(200, seed=1)), normal(3, 200, seed=2).requires_grad_()
    end = march(ImplicitMidpoint(), field, x, h, 1)
    assert float((end - x - h * field(0, (x + end) / 2)).detach().abs().max()) < 1e-13
    weights = normal(3, 200, seed=3)
    (gradient,) = torch.autograd.grad((weights * end).sum(), x)
    for row in range(3):  # (I + h/2 J)ᵀ w with (I - h/2 J)ᵀ w = λ
        middle = ((x + end) / 2)[row].detach()
        half = h / 2 * torch.autograd.functional.jacobian(lambda y: field(0, y), middle)
        w = torch.linalg.solve((torch.eye(200) - half).T, weights[row])
        assert torch.allclose(gradient[row], (torch.eye(200) + half).T @ w, rtol=1e-10, atol=1e-12)


@every_method
def test_a_row_without_a_solution_is_not_a_number_and_the_others_are_as_alone(name: str) -> None:
    def field(t: Any, x: Tensor) -> Tensor:  # d = h (x + d/2)² has no solution for large x
        return x**2

    x = torch.tensor([[0.1, 0.2], [5.0, 9.0], [-0.3, 0.4], [math.nan, 0.1]], dtype=torch.float64, requires_grad=True)
    end = march(METHODS[name], field, x, 1.0, 1)
    assert end.isnan().any(-1).tolist() == [False, True, False, True]
    for row in (0, 2):
        assert torch.allclose(end[row], march(METHODS[name], field, x[row], 1.0, 1), atol=1e-15)
    (gradient,) = torch.autograd.grad(end[[0, 2]].sum(), x)
    assert bool(gradient[[0, 1, 2]].isfinite().all())


def test_a_singular_equation_gives_no_number() -> None:
    end = march(ImplicitMidpoint(), lambda t, x: 2 * x, torch.ones(2, 1, dtype=torch.float64), 1.0, 1)  # d = 2 + d
    assert bool(end.isnan().all())


@every_method
def test_every_row_has_its_own_step(name: str) -> None:
    field = descent(torch.tanh, normal(8, 3), normal(8, seed=1))
    x, h = normal(4, 3), torch.tensor([[0.1], [0.0], [-0.1], [30.0]], dtype=torch.float64)
    together = METHODS[name].step(field, torch.zeros_like(h), x, h, None).x
    alone = torch.stack([march(METHODS[name], field, row, float(step), 1) for row, step in zip(x, h, strict=True)])
    assert torch.allclose(together, alone, atol=1e-13)
    assert torch.equal(together[1], x[1])
    whole = METHODS[name].step(field, torch.tensor(0.0).double(), x, torch.tensor(0.1).double(), None).x
    assert torch.allclose(whole, METHODS[name].step(field, 0.0, x, float(torch.tensor(0.1)), None).x, atol=1e-14)


@every_method
@pytest.mark.parametrize("h", [0.1, 10.0])
def test_single_precision(name: str, h: float) -> None:
    a, b, x = normal(8, 3), normal(8, seed=1), normal(50, 3, seed=2)
    exact = march(METHODS[name], descent(torch.tanh, a, b), x, h, 1)
    single = march(METHODS[name], descent(torch.tanh, a.float(), b.float()), x.float(), h, 1)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), exact, rtol=1e-5, atol=1e-5)


@every_method
def test_no_rows_at_all(name: str) -> None:
    assert march(METHODS[name], pendulum, X0.expand(0, 2), 0.1, 2).shape == (0, 2)


def test_without_gradients_the_same_states() -> None:
    field = descent(torch.tanh, normal(8, 3), normal(8, seed=1))
    x = normal(4, 3).requires_grad_()
    with torch.no_grad():
        plain = march(ImplicitMidpoint(), field, x, 0.3, 5)
    assert not plain.requires_grad
    assert torch.equal(plain, march(ImplicitMidpoint(), field, x, 0.3, 5))
