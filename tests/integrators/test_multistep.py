"""Adams-Bashforth methods and the two-step method of LM-ResNet: orders, stability, reductions, inverse, training."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from ctrlnet_plugins.integrators import AB2, AB3, LM, Euler
from marches import X0, error, limit, march, pendulum, radius, slopes, trip

from ctrlnet import UsageError, odeint

STEPS = [1 / 20, 1 / 40, 1 / 80]
FINE = [1 / 160, 1 / 320, 1 / 640]


@pytest.mark.parametrize(
    ("method", "order", "measured"),
    [(AB2(), 2, 1.1e-4), (AB3(), 3, 1.3e-6), (LM(0.5), 1, 3.8e-3), (LM(1.0), 2, 4.5e-5)],
)
def test_order_and_error_on_the_pendulum(method, order, measured):
    assert method.order == order and method.multistep
    assert all(abs(slope - order) < 0.1 for slope in slopes(method, STEPS))
    assert measured / 2 < error(method, 1 / 80) < 2 * measured


@pytest.mark.parametrize(("k", "order"), [(-0.5, 0.99), (0.0, 0.99), (0.5, 1.00), (0.9, 1.01), (1.0, 1.995)])
def test_lm_has_order_2_at_k_1_alone(k, order):
    assert LM(k).order == round(order)
    assert all(abs(slope - order) < 0.05 for slope in slopes(LM(k), FINE))


def test_adams_bashforth_are_the_published_formulas():
    """Steps after the start-up, against the formulas of 2.3 written out on the slopes along the way."""
    h, states = 0.1, [march(AB3(), pendulum, X0, 0.1, n) for n in range(6)]
    f = [pendulum(0.0, x) for x in states]
    assert torch.allclose(states[5], states[4] + h / 12 * (23 * f[4] - 16 * f[3] + 5 * f[2]), atol=1e-15)
    states = [march(AB2(), pendulum, X0, 0.1, n) for n in range(4)]
    f = [pendulum(0.0, x) for x in states]
    assert torch.allclose(states[3], states[2] + h / 2 * (3 * f[2] - f[1]), atol=1e-15)


@pytest.mark.parametrize(
    ("method", "degree"), [(AB2(), 2), (AB3(), 3), (LM(1.0), 2), (LM(0.3), 1)]
)  # fmt: skip
def test_polynomials_of_the_orders_degree_are_exact(method, degree):
    """x' = p t^(p-1): the formulas integrate x = t^p without error, whatever the start did before."""
    x, carry = torch.zeros(1, dtype=torch.float64), None
    carry = method.init(lambda t, x: torch.full_like(x, degree * t ** (degree - 1)), 0.0, x)
    gaps = []
    for n in range(12):
        x, _, carry = method.step(lambda t, x: torch.full_like(x, degree * t ** (degree - 1)), 0.1 * n, x, 0.1, carry)
        gaps.append(float(x) - (0.1 * (n + 1)) ** degree)
    if degree > 1 and isinstance(method, LM):
        assert all(math.isclose(gap, gaps[n % 2], abs_tol=1e-14) for n, gap in enumerate(gaps))
    else:
        assert all(math.isclose(gap, gaps[2], abs_tol=1e-14) for gap in gaps[2:])


@pytest.mark.parametrize(("method", "real", "imaginary"), [(AB2(), 1, 0), (AB3(), 6 / 11, 0.7236), (LM(1.0), 0, 1)])
def test_stability_limits(method, real, imaginary):
    tolerance = 1e-7  # a double root rounds to half the digits
    assert math.isclose(limit(method, -1, tolerance), real, abs_tol=1e-3)
    if imaginary:
        assert math.isclose(limit(method, 1j, tolerance), imaginary, abs_tol=1e-3)
    else:
        assert all(radius(method, y * 1j) > 1 + y**4 / 10 for y in (0.02, 0.1, 0.5))
    if not real:
        assert all(radius(method, -y) > 1 + y / 2 for y in (0.02, 0.1, 0.5))


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.3, 0.5, 0.9])
def test_real_stability_interval_of_lm(k):
    assert math.isclose(limit(LM(k), -1, 1e-7), 2 * (1 - k) / (1 + k), rel_tol=1e-5)


@pytest.mark.parametrize(("size", "bounded"), [(0.7, True), (0.75, False)])
def test_ab3_on_an_antisymmetric_layer(size, bounded):
    """x' = K x, K antisymmetric: bounded for h|K| below 0.7236, over ten thousand steps."""
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k = matrix - matrix.T
    k = k / torch.linalg.matrix_norm(k, 2)
    x = torch.ones(6, dtype=torch.float64)
    end = march(AB3(), lambda t, x: x @ k.T, x, size, 10_000)
    if bounded:
        assert float(end.norm()) < 1.5 * float(x.norm())
    else:
        assert not float(end.norm()) < 1e10


def test_lm_reduces_to_euler_and_to_the_leapfrog():
    euler, lm = march(Euler, pendulum, X0, 0.1, 50), march(LM(0.0), pendulum, X0, 0.1, 50)
    assert torch.allclose(lm, euler, rtol=0, atol=1e-14)
    before, x = X0, march(Euler, pendulum, X0, 0.1, 1)
    for _ in range(49):
        before, x = x, before + 0.2 * pendulum(0.0, x)
    assert torch.allclose(march(LM(1.0), pendulum, X0, 0.1, 50), x, rtol=0, atol=1e-12)


def test_the_leapfrog_is_symmetric():
    """From the last two states the step of -h leads back to the first."""
    method, h, steps = LM(1.0), 0.05, 1000
    last, carry = trip(method, pendulum, X0, h, steps)
    x, v = last - h * carry[0], carry[0]
    for _ in range(steps - 1):
        x, _, (v,) = method.step(pendulum, 0.0, x, -h, (v,))
    assert float((x - X0).norm()) < 1e-11


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.5, 0.9])
def test_only_the_leapfrog_is_stable_on_the_imaginary_axis(k):
    assert all(radius(LM(k), y * 1j) > 1 + y**2 / 50 for y in (0.02, 0.1, 0.5))


def test_lm_is_the_two_step_recurrence():
    k, h = 0.4, 0.05
    before, x = X0, march(Euler, pendulum, X0, h, 1)
    for _ in range(30):
        before, x = x, (1 - k) * x + k * before + (1 + k) * h * pendulum(0.0, x)
    assert torch.allclose(march(LM(k), pendulum, X0, h, 31), x, rtol=0, atol=1e-13)


def test_lm_on_the_papers_form():
    """x⁺ = (1-k) x + k x₋ + f(x), whose modified equation is (1+k) x' + (1-k)(h/2) x'' = f/h: it follows x' to O(h)."""
    k, h = 0.5, 1e-3
    rate = 1.0  # f = -h x: (1+k) x' + (1-k)(h/2) x'' = -x
    root = (-(1 + k) + math.sqrt((1 + k) ** 2 - 2 * (1 - k) * h * rate)) / ((1 - k) * h)
    end = march(LM(k), lambda t, x: -rate * x / (1 + k), torch.ones(1, dtype=torch.float64), h, 1000)
    plain = math.exp(-rate / (1 + k))
    assert abs(float(end) - math.exp(root)) < 0.2 * abs(plain - math.exp(root))


@pytest.mark.parametrize("k", [-0.9, 0.5, 1.0])
def test_lm_is_inverted_with_the_growth_it_declares(k):
    method, h = LM(k), 0.05
    steps = 1000 if abs(k) == 1 else int(9 / math.log(method.backward_growth))
    assert math.isclose(method.backward_growth, 1 / abs(k))
    x, carry = trip(method, pendulum, X0, h, steps)
    for index in reversed(range(steps)):
        x, _, carry = method.back(pendulum, index * h, x, h, carry)
    assert float((x - X0).norm()) < 1e-11
    assert torch.allclose(carry[0], pendulum(0.0, X0), atol=1e-10)


def test_rounding_grows_on_the_way_back_as_declared():
    """Fifty steps back with k = 1/2 lose a factor 2^50."""
    x, carry = trip(LM(0.5), pendulum, X0, 0.05, 50)
    for index in reversed(range(50)):
        x, _, carry = LM(0.5).back(pendulum, index * 0.05, x, 0.05, carry)
    assert 1e-6 < float((x - X0).norm()) < 10


def test_k_is_trained():
    k = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def end(k):
        return odeint(lambda x: pendulum(0.0, x), X0, [0, 0.5], method=LM(k), step=0.1)[-1]

    assert torch.autograd.gradcheck(end, (k,))
    parameter = torch.nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=10.0)
    losses = []
    target = march(LM(0.5), pendulum, X0, 0.1, 10)
    for _ in range(50):
        optimizer.zero_grad()
        loss = (march(LM(parameter), pendulum, X0, 0.1, 10) - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0] and abs(parameter.item() - 0.5) < 0.2


@pytest.mark.parametrize("k", [-1, 1.1, math.nan, "half", torch.zeros(2), None])
def test_a_k_that_is_not_zero_stable_is_refused(k):
    with pytest.raises(UsageError, match=r"above -1, up to 1"):
        LM(k)


def test_a_k_that_left_the_interval_is_refused():
    k = torch.tensor(0.9)
    method = LM(k)
    k.add_(0.5)
    with pytest.raises(UsageError, match=r"above -1, up to 1"):
        odeint(torch.neg, torch.ones(1), [0, 1], method=method, step=0.1)


def test_one_evaluation_a_step():
    calls = 0

    def counted(t, x):
        nonlocal calls
        calls += 1
        return pendulum(t, x)

    for method, more in ((AB2(), 1), (AB3(), 2), (LM(), 1)):
        calls = 0
        march(method, counted, X0, 0.1, 20)
        assert calls == 20 + more


def test_solve_begins_anew_where_the_step_changes():
    """Instants that give steps of 0.1 and of 0.05: order 3 is kept."""
    field = lambda x: pendulum(0.0, x)  # noqa: E731
    errors = []
    for n in (10, 20, 40):
        t = [0, *(1 + 0.5 * torch.arange(3)).tolist()]
        end = odeint(field, X0, t, method=AB3(), step=1 / n)[-1]
        errors.append(float((end - odeint(field, X0, [0, 2], method="dopri5", step=1e-2)[-1]).norm()))
    assert min(math.log2(a / b) for a, b in pairwise(errors)) > 2.7
