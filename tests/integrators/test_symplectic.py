"""Symplectic Euler and Störmer-Verlet: order, energy, reversal, symplecticity, stability."""

from __future__ import annotations

import math

import pytest
import torch
from ctrlnet_plugins.integrators import RK4, Euler, SymplecticEuler, Verlet
from marches import X0, march, pendulum, swung, trip
from swings import defect, energy, gravity, identity, largest_error, separable, undone
from torch import Tensor

from ctrlnet import Separable, ShapeError, timed

METHODS = {"symplectic_euler": SymplecticEuler(), "verlet": Verlet()}


def network(seed: int = 0, n: int = 3) -> Separable:
    """q' = A₁ᵀ tanh(A₁ p + b₁), p' = -A₂ᵀ tanh(A₂ q + b₂): H = Σ log cosh(A₁ p + b₁) + Σ log cosh(A₂ q + b₂)."""
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, n + 1, n, generator=draw, dtype=torch.float64) for _ in range(2))
    c, d = b[:, :, 0]
    return Separable(lambda p: torch.tanh(p @ a[0].T + c) @ a[0], lambda q: -torch.tanh(q @ a[1].T + d) @ a[1])


def linear(velocity: float, force: float) -> Separable:
    return Separable(lambda p: velocity * p, lambda q: force * q)


def growth(method: object, field: Separable, h: float) -> float:
    """The largest modulus among the eigenvalues of one step on a linear field."""
    step = march(method, field, torch.eye(2, dtype=torch.float64), h, 1)
    return float(torch.linalg.eigvals(step.T).abs().max())


@pytest.mark.parametrize(("name", "order", "measured"), [("symplectic_euler", 1, 7.9e-3), ("verlet", 2, 2.1e-5)])
def test_order_and_error(name: str, order: int, measured: float) -> None:
    method = METHODS[name]
    errors = [float((march(method, separable, X0, 1 / n, 2 * n) - swung()).norm()) for n in (20, 40, 80)]
    slopes = [math.log2(errors[0] / errors[1]), math.log2(errors[1] / errors[2])]
    assert method.order == order
    assert all(abs(slope - order) < 0.02 for slope in slopes), slopes
    assert abs(errors[-1] / measured - 1) < 0.05


@pytest.mark.parametrize(("name", "order"), [("symplectic_euler", 1), ("verlet", 2)])
def test_order_where_both_parts_depend_on_time(name: str, order: int) -> None:
    def velocity(t: Tensor, p: Tensor) -> Tensor:
        return p * (2 + torch.sin(3 * t))

    def force(t: Tensor, q: Tensor) -> Tensor:
        return -torch.sin(q) + torch.cos(2 * t)

    def whole(t: float, x: Tensor) -> Tensor:
        s = torch.as_tensor(t, dtype=x.dtype)
        return torch.stack([velocity(s, x[..., 1]), force(s, x[..., 0])], -1)

    field, end = Separable(timed(velocity), timed(force)), march(RK4, whole, X0, 1 / 400, 400)
    errors = [float((march(METHODS[name], field, X0, 1 / n, n) - end).norm()) for n in (20, 40, 80)]
    assert abs(math.log2(errors[1] / errors[2]) - order) < 0.1


def test_verlet_keeps_the_energy_and_others_lose_it() -> None:
    errors = {h: largest_error(energy, Verlet(), separable, X0, h, round(100 / h)) for h in (0.1, 0.05)}
    assert abs(errors[0.1] / 1.47e-3 - 1) < 0.01
    assert abs(errors[0.05] / 3.68e-4 - 1) < 0.01
    assert abs(errors[0.1] / errors[0.05] - 4) < 0.05
    assert largest_error(energy, SymplecticEuler(), separable, X0, 0.1, 1000) < 0.05
    assert abs(largest_error(energy, RK4, pendulum, X0, 0.1, 1000) / 6.1e-6 - 1) < 0.02
    assert abs(largest_error(energy, Euler, pendulum, X0, 0.1, 1000) / 5.3 - 1) < 0.02


def test_verlet_keeps_the_energy_ten_times_as_long_and_runge_kutta_drifts() -> None:
    at_thousand = largest_error(energy, Verlet(), separable, X0, 0.1, 10_000)
    assert abs(at_thousand / 1.47e-3 - 1) < 0.01
    assert abs(largest_error(energy, RK4, pendulum, X0, 0.1, 10_000) / 6.1e-5 - 1) < 0.02


@pytest.mark.parametrize("name", METHODS)
def test_back_undoes_a_thousand_steps(name: str) -> None:
    method = METHODS[name]
    end, carry = trip(method, separable, X0, 0.1, 1000)
    assert float((undone(method, separable, end, carry, 0.1, 1000) - X0).abs().max()) < 2e-13
    network_start = torch.linspace(-1, 1, 6, dtype=torch.float64)
    end, carry = trip(method, network(), network_start, 0.02, 500)
    assert float((undone(method, network(), end, carry, 0.02, 500) - network_start).abs().max()) < 1e-11


def test_only_the_symmetric_method_is_undone_by_negative_steps() -> None:
    there = {name: march(method, separable, X0, 0.1, 1000) for name, method in METHODS.items()}
    gaps = {name: float((march(METHODS[name], separable, end, -0.1, 1000) - X0).norm()) for name, end in there.items()}
    assert gaps["verlet"] < 2e-13
    assert abs(gaps["symplectic_euler"] / 1.12 - 1) < 0.02


def test_back_returns_the_carry_before_the_step() -> None:
    method = Verlet()
    before = method.init(separable, 0.0, X0)
    after = method.step(separable, 0.0, X0, 0.1, before)
    found = method.back(separable, 0.0, after.x, 0.1, after.carry).carry
    assert found is not None
    assert torch.allclose(found[0], before[0], atol=1e-15)
    assert found[0].shape == X0.shape


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("h", [0.05, 0.5])
def test_symplectic(name: str, h: float) -> None:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64)
    assert defect(METHODS[name], network(), x, h) < 1e-12
    assert defect(METHODS[name], separable, X0, h) < 1e-12
    assert defect(RK4, lambda t, x: network()(x), x, 0.5) > 1e-6  # what a method that is not measures


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("frequency", [0.5, 1.0, 20.0])
def test_stable_below_two_over_the_frequency(name: str, frequency: float) -> None:
    oscillator = linear(1, -(frequency**2))
    assert growth(METHODS[name], oscillator, 1.999 / frequency) < 1 + 1e-9
    assert growth(METHODS[name], oscillator, 2.001 / frequency) > 1.05


@pytest.mark.parametrize(("product", "expected"), [(-3.9, 1.0), (-0.1, 1.0), (-4.1, 1.37), (0.1, 1.37)])
def test_reversible_residual_network_is_stable_between_minus_four_and_zero(product: float, expected: float) -> None:
    assert abs(growth(SymplecticEuler(), linear(2.0, product / 2), 1.0) - expected) < 1e-3


def test_one_evaluation_of_each_part_a_step() -> None:
    calls = {"velocity": 0, "force": 0}

    def counted(name: str, function: object) -> object:
        def part(x: Tensor) -> Tensor:
            calls[name] += 1
            return function(x)  # type: ignore[operator]

        return part

    field = Separable(counted("velocity", identity), counted("force", gravity))  # type: ignore[arg-type]
    march(Verlet(), field, X0, 0.1, 10)
    assert calls == {"velocity": 10, "force": 11}  # one force before the first step
    march(SymplecticEuler(), field, X0, 0.1, 10)
    assert calls == {"velocity": 20, "force": 21}


@pytest.mark.parametrize("name", METHODS)
def test_every_row_has_its_own_step(name: str) -> None:
    x = torch.stack([X0, -X0, X0 / 2])
    h = torch.tensor([[0.1], [0.0], [-0.2]], dtype=torch.float64)
    rows = torch.stack([march(METHODS[name], separable, row, float(step), 4) for row, step in zip(x, h, strict=True)])
    carry, states = METHODS[name].init(separable, 0.0, x), x
    for index in range(4):
        states, _, carry = METHODS[name].step(separable, index * h, states, h, carry)
    assert torch.allclose(states, rows, atol=1e-15)
    assert torch.equal(states[1], x[1])


@pytest.mark.parametrize("name", METHODS)
def test_derivatives(name: str) -> None:
    field = network(n=2)
    x = torch.tensor([[0.3, -0.2, 0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    h = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x, h: trip(METHODS[name], field, x, h, 3)[0], (x, h), check_forward_ad=True)
    torch.autograd.gradgradcheck(lambda x, h: trip(METHODS[name], field, x, h, 2)[0], (x, h))


def test_an_odd_state_is_refused() -> None:
    with pytest.raises(ShapeError, match="even number"):
        march(Verlet(), separable, torch.zeros(3), 0.1, 1)
