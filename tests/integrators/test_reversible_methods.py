"""Reversible Heun and the reversible methods of McCallum and Foster: orders, limits, round trips, and the guard."""

from __future__ import annotations

import math

import pytest
import torch
from ctrlnet_plugins.integrators import AB2, RK4, Dopri5, Euler, Heun, McCallumFoster, ReversibleHeun
from ctrlnet_plugins.integrators.mccallum_foster import contraction
from marches import X0, error, limit, march, pendulum, radius, slopes, trip

from ctrlnet import UsageError

STEPS = [1 / 20, 1 / 40, 1 / 80]


def back(method, field, x, carry, h, steps):
    for index in reversed(range(steps)):
        x, _, carry = method.back(field, index * h, x, h, carry)
    return x, carry


def decay(rate):
    return lambda t, x: -rate * x


def test_reversible_heun_order_and_error():
    assert all(abs(slope - 2) < 0.1 for slope in slopes(ReversibleHeun(), STEPS))
    assert 3.1e-5 / 2 < error(ReversibleHeun(), 1 / 80) < 2 * 3.1e-5


def test_reversible_heun_is_stable_on_a_piece_of_the_imaginary_axis_alone():
    method = ReversibleHeun()
    assert math.isclose(limit(method, 1j, 1e-7), 1, abs_tol=1e-6)
    assert all(radius(method, -x) > 1 + x / 2 for x in (0.01, 0.1, 0.5))


def test_reversible_heun_evaluates_once_a_step():
    calls = 0

    def counted(t, x):
        nonlocal calls
        calls += 1
        return pendulum(t, x)

    march(ReversibleHeun(), counted, X0, 0.1, 20)
    assert calls == 21


def test_reversible_heun_is_the_published_recurrence():
    y, z, v, h = X0, X0, pendulum(0.0, X0), 0.1
    for _ in range(20):
        z = 2 * y - z + h * v
        y, v = y + h / 2 * (v + pendulum(0.0, z)), pendulum(0.0, z)
    assert torch.allclose(march(ReversibleHeun(), pendulum, X0, h, 20), y, rtol=0, atol=1e-14)


def test_a_thousand_steps_of_reversible_heun_and_back():
    method, h = ReversibleHeun(), 0.05
    x, carry = back(method, pendulum, *trip(method, pendulum, X0, h, 1000), h, 1000)
    assert float((x - X0).norm()) < 1e-12  # 6e-14 is known
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(carry, (X0, pendulum(0.0, X0)), strict=True))


@pytest.mark.parametrize(
    ("base", "order", "known", "steps"),
    [(Euler, 1, 1.1, [1 / 40, 1 / 80]), (Heun, 2, 1.99, [1 / 40, 1 / 80]), (RK4, 4, 3.99, [1 / 40, 1 / 80]),
     (Dopri5, 5, 5.1, [1 / 20, 1 / 40])],
)  # fmt: skip
def test_mccallum_foster_has_the_order_of_its_base(base, order, known, steps):
    method = McCallumFoster(base)
    assert method.order == order
    assert all(abs(slope - known) < 0.1 for slope in slopes(method, steps))
    assert math.isclose(error(method, 1 / 40), error(base, 1 / 40), rel_tol=0.5)


@pytest.mark.parametrize("coupling", [0.5, 0.9, 0.99, 1.0])
def test_determinant_of_a_step(coupling):
    """The map of (x, z) has the determinant λⁿ, at any state of a nonlinear field, for any base and step."""
    for base in (Euler, RK4):
        method = McCallumFoster(base, coupling)

        def both(pair, method=method):
            step = method.step(pendulum, 0.0, pair[:2], 0.3, (pair[2:],))
            return torch.cat([step.x, step.carry[0]])

        jacobian = torch.autograd.functional.jacobian(both, torch.tensor([1.2, 0.3, 1.1, 0.4], dtype=torch.float64))
        assert math.isclose(float(torch.linalg.det(jacobian)), coupling**2, rel_tol=1e-13)


@pytest.mark.parametrize(
    ("coupling", "real", "imaginary"),
    [(0.5, 0.695, 0.073), (0.9, 0.105, 0.093), (0.99, 0.010, 2.828), (0.999, 0.001, 2.828)],
)
def test_stability_limits_of_mccallum_foster(coupling, real, imaginary):
    """On the negative axis R(x) >= λ, about -ln λ."""
    method = McCallumFoster("rk4", coupling)
    found = limit(method, -1)
    assert math.isclose(found, real, abs_tol=1e-3)
    assert math.isclose(found, -math.log(coupling), rel_tol=0.02 if coupling > 0.8 else 0.05)
    assert math.isclose(limit(method, 1j), imaginary, abs_tol=1e-3)


@pytest.mark.parametrize(
    ("rate", "coupling", "size", "lost"),
    [
        (1, 0.75, 2.1e-9, 1e17),
        (1, 0.95, 2.0e-9, 3e-15),
        (1, 0.99, 9.1e-3, 8e-11),
        (1, 0.999, 3.4e-1, 9e-9),
        (5, 0.75, -6.7e-8, 7e-13),
        (5, 0.95, 1.3e3, 2e-3),
        (5, 0.99, 7.8e4, 0.3),
        (5, 0.999, 1.9e5, 0.9),
    ],
)
def test_no_free_lunch_for_contraction(rate, coupling, size, lost):
    """x' = -x to T = 20 and x' = -5x to T = 5 in steps of 0.05: what is reached, and what is lost on the way back."""
    method, h, steps = McCallumFoster("rk4", coupling), 0.05, 400 if rate == 1 else 100
    one = torch.ones(1, dtype=torch.float64)
    x, carry = trip(method, decay(rate), one, h, steps)
    assert math.isclose(float(x), size, rel_tol=0.1)
    start, _ = back(method, decay(rate), x, carry, h, steps)
    assert lost / 100 < abs(float(start) - 1) < lost * 100  # rounding errors: their size, not their digits


def test_the_forward_solution_can_explode():
    x = march(McCallumFoster("rk4", 0.99), decay(5), torch.ones(1, dtype=torch.float64), 0.05, 400)
    assert 1e34 < abs(float(x)) < 1e38


@pytest.mark.parametrize(
    ("rate", "coupling", "steps", "dtype", "words"),
    [
        (1, 0.95, 400, torch.float64, None),
        (1, 0.95, 400, torch.float32, "amplify rounding"),
        (1, 0.95, 150, torch.float32, None),
        (1, 0.75, 400, torch.float64, "amplify rounding"),
        (1, 0.99, 400, torch.float64, "contracts"),
        (1, 0.999, 400, torch.float64, "contracts"),
        (5, 0.75, 100, torch.float64, "amplify rounding"),
        (5, 0.75, 80, torch.float64, None),
        (5, 0.95, 100, torch.float64, "contracts"),
        (5, 0.999, 100, torch.float64, "contracts"),
        (-5, 0.999, 100, torch.float64, None),
    ],
)
def test_the_guard(rate, coupling, steps, dtype, words):
    method, x = McCallumFoster("rk4", coupling), torch.ones(3, 1, dtype=dtype)
    if words is None:
        method.check(decay(rate), 0.0, x, 0.05, steps)
    else:
        with pytest.raises(UsageError, match=words) as refusal:
            method.check(decay(rate), 0.0, x, 0.05, steps)
        assert "gradient='symplectic_adjoint'" in str(refusal.value)


def test_the_guard_looks_along_the_direction_of_time():
    method, x = McCallumFoster(), torch.ones(1, dtype=torch.float64)
    method.check(decay(1), 0.0, x, -0.05, 100)
    with pytest.raises(UsageError, match="contracts"):
        method.check(decay(-1), 0.0, x, -0.05, 100)


def test_contraction_is_the_fastest_decay_of_any_state_beyond_its_growth():
    def field(t, x):
        return torch.stack([-(x[..., 0] ** 3) / 3, x[..., 2], -x[..., 1]], -1)

    x = torch.tensor([[0.1, 5.0, 0.0], [2.0, 0.0, 0.0], [1.0, 0.0, 7.0]], dtype=torch.float64)
    assert math.isclose(contraction(field, 0.0, x), 4.0)
    assert contraction(field, 0.0, x, -1.0) == 0
    damped = lambda t, x: pendulum(t, x) - 0.2 * x * torch.tensor([0.0, 1.0]).double()  # noqa: E731
    assert math.isclose(contraction(damped, 0.0, torch.zeros(2, dtype=torch.float64)), 0.1, rel_tol=1e-12)
    many = torch.zeros(1000, 2, dtype=torch.float64)
    assert math.isclose(contraction(damped, 0.0, many), 0.1, rel_tol=1e-12)


def test_a_hamiltonian_field_is_served_on_both_sides_of_a_saddle():
    """The pendulum near its top contracts in one direction as fast as it expands in the other: nothing explodes."""
    method, top, h = McCallumFoster(), torch.tensor([3.0, 0.3], dtype=torch.float64), 0.05
    method.check(pendulum, 0.0, top, h, 1000)
    end, carry = trip(method, pendulum, top, h, 1000)
    energy = lambda x: x[1] ** 2 / 2 - torch.cos(x[0])  # noqa: E731
    assert abs(float(energy(end) - energy(top))) < 1e-3
    start, _ = back(method, pendulum, end, carry, h, 1000)
    assert float((start - top).norm()) < 1e-9


def test_backpropagation_without_memory_is_exact():
    """States recomputed by `back`, one vector-Jacobian product a step: the gradient of autograd to rounding."""
    method, h, steps = McCallumFoster("rk4", 0.99), 0.01, 200
    weight = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)

    def field(t, x):
        return weight * pendulum(t, x)

    x0 = X0.clone().requires_grad_()
    expected = torch.autograd.grad(march(method, field, x0, h, steps).square().sum(), (x0, weight))
    with torch.no_grad():
        x, carry = trip(method, field, X0, h, steps)
    gradients = [2 * x, torch.zeros_like(x)]
    total = torch.zeros_like(weight)
    for index in reversed(range(steps)):
        with torch.no_grad():
            x, _, carry = method.back(field, index * h, x, h, carry)
        pair = [x.clone().requires_grad_(), carry[0].clone().requires_grad_()]
        step = method.step(field, index * h, pair[0], h, (pair[1],))
        *gradients, more = torch.autograd.grad([step.x, step.carry[0]], [*pair, weight], gradients)
        total = total + more
    assert torch.allclose(gradients[0] + gradients[1], expected[0], rtol=1e-12)
    assert torch.allclose(total, expected[1], rtol=1e-12)


def test_evaluations_of_mccallum_foster_are_twice_those_of_the_base():
    calls = 0

    def counted(t, x):
        nonlocal calls
        calls += 1
        return pendulum(t, x)

    march(McCallumFoster("rk4"), counted, X0, 0.1, 20)
    assert calls == 2 * 4 * 20


@pytest.mark.parametrize("base", [AB2, AB2(), "avf", object()])
def test_a_base_that_does_not_serve(base):
    with pytest.raises((UsageError, LookupError)):
        McCallumFoster(base)


@pytest.mark.parametrize("coupling", [0, 1.5, -0.1, math.nan, "all"])
def test_a_coupling_that_does_not_serve(coupling):
    with pytest.raises(UsageError, match="above 0, up to 1"):
        McCallumFoster("rk4", coupling)
