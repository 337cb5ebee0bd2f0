"""Convergence: the order of every tableau, of dense output, of the error estimate; conserved quantities."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import ctrlnet_plugins.integrators as plugins
import pytest
import torch
from ctrlnet_plugins.integrators import RK4, Bosh3, Dopri5, Dopri8, Euler, Tsit5
from torch import Tensor

from ctrlnet import RungeKutta, Tableau, Tolerance, UsageError, odeint, solve, timed
from ctrlnet.integrators import Step

X0 = torch.tensor([1.2, 0.3], dtype=torch.float64)
METHODS = {"euler": (Euler, 1), "rk4": (RK4, 4), "dopri5": (Dopri5, 5)}


def pendulum(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)


def energy(x: Tensor) -> Tensor:
    return x[..., 1] ** 2 / 2 - torch.cos(x[..., 0])


@pytest.fixture(scope="module")
def reference() -> Tensor:
    return odeint(pendulum, X0, [0, 2], method=Dopri5, step=1 / 400)[-1]


@pytest.mark.parametrize("name", METHODS)
def test_order_on_the_pendulum(name: str, reference: Tensor) -> None:
    method, order = METHODS[name]
    # from steps where the error is far above rounding
    steps = [0.1, 0.05, 0.025] if order < 5 else [0.2, 0.1, 0.05]
    errors = [float((odeint(pendulum, X0, [0, 2], method=name, step=h)[-1] - reference).norm()) for h in steps]
    slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert method.order == order
    assert all(abs(slope - order) < (0.1 if order < 5 else 0.25) for slope in slopes), slopes


PLAIN = [  # McCallumFoster, which must not be given fields that contract, has its own tests
    name for name in plugins.__all__ if getattr(plugins, name).needs == "Field" and name != "McCallumFoster"
]


@pytest.mark.parametrize("name", PLAIN)
def test_order_in_explicit_time(name: str) -> None:
    """x' = x cos t, through `solve`, by every method that works on a plain field."""
    found = getattr(plugins, name)
    method = found() if isinstance(found, type) else found
    field = timed(lambda t, x: x * torch.cos(t))  # x = exp(sin t)
    one = torch.ones(1, dtype=torch.float64)
    steps = (0.5, 0.25, 0.125) if method.order > 5 else (0.1, 0.05, 0.025)
    errors = [abs(float(odeint(field, one, [0, 1], method=method, step=h)[-1]) - math.exp(math.sin(1))) for h in steps]
    assert math.log2(errors[1] / errors[2]) > method.order - 0.3


def test_dopri5_dense_output_is_that_of_hairer() -> None:
    """The monomial rows equal y0 + θ(D + (1-θ)(r3 + θ(r4 + (1-θ) r5))) with r3 = k1 - D, r4 = 2D - k1 - k7."""
    d = [
        Fraction(-12715105075, 11282082432), Fraction(0), Fraction(87487479700, 32700410799),
        Fraction(-10690763975, 1880347072), Fraction(701980252875, 199316789632), Fraction(-1453857185, 822651844),
        Fraction(69997945, 29380423),
    ]  # fmt: skip
    assert Dopri5.tableau.dense is not None
    for i, (row, b) in enumerate(zip(Dopri5.tableau.dense, Dopri5.tableau.b, strict=True)):
        first, last = float(i == 0), float(i == 6)
        r3, r4, r5 = first - b, 2 * b - first - last, float(d[i])
        expected = [b + r3, r4 + r5 - r3, -r4 - 2 * r5, r5]
        assert all(math.isclose(x, y, abs_tol=1e-13) for x, y in zip(row, expected, strict=True))


def test_dense_output_order() -> None:
    """The local error of the dense output of dopri5 and tsit5 falls like h^5, that of Hermite's cubic like h^4."""
    for method, order in ((Dopri5, 5), (Tsit5, 5), (RK4, 4), (Bosh3, 4)):
        errors = []
        for h in (0.2, 0.1, 0.05):
            solution = solve(pendulum, X0, [0, h], method=method, step=h)
            thetas = torch.linspace(0.1, 0.9, 9, dtype=torch.float64) * h
            exact = odeint(pendulum, X0, [0, *thetas.tolist()], method=Dopri5, step=h / 40)[1:]
            assert solution.dense is not None
            errors.append(float((solution.dense(thetas) - exact).abs().max()))
        slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
        assert all(abs(slope - order) < 0.35 for slope in slopes), (order, slopes)


def test_rk4_energy_drift_is_the_known_one_and_rotation_of_dopri5_is_kept() -> None:
    x = odeint(pendulum, X0, torch.linspace(0, 100, 1001), method="rk4")
    assert float((energy(x) - energy(X0)).abs().max()) < 1e-5
    turn = odeint(lambda x: torch.stack([x[..., 1], -x[..., 0]], -1), X0, [0, 20 * math.pi], method="dopri5")
    assert torch.allclose(turn[-1], X0, atol=1e-4)


@pytest.mark.parametrize("invariant", [lambda x: x.sum(-1), lambda x: x @ torch.tensor([1.0, -2, 1]).double()])
def test_linear_invariants_are_conserved(invariant: object) -> None:
    def field(x: Tensor) -> Tensor:  # moves along (1, 1, 1) x (1, -2, 1) = (3, 0, -3) only
        return torch.sin(x[..., :1]) * torch.tensor([1.0, 0, -1]).double()

    x = odeint(field, torch.tensor([0.3, -1.0, 2.0]).double(), torch.linspace(0, 5, 11), method="dopri5")
    values = invariant(x)  # type: ignore[operator]
    assert torch.allclose(values, values[0], atol=1e-13)


@pytest.mark.parametrize("method", [Bosh3, Dopri5, Tsit5, Dopri8], ids=["bosh3", "dopri5", "tsit5", "dopri8"])
def test_tolerance_is_proportional_to_the_error(method: RungeKutta, reference: Tensor) -> None:
    tolerances = [1e-3, 1e-5, 1e-7, 1e-9]
    errors = []
    for tolerance in tolerances:
        solution = solve(pendulum, X0, [0, 2], method=method, tolerance=Tolerance(tolerance, tolerance))
        assert solution.status == "done"
        errors.append(float((solution.x[-1] - reference).norm()))
    slope = math.log10(errors[0] / errors[-1]) / 6
    assert 0.75 < slope < 1.2, errors
    # the tolerance is that of a step, the errors are those of all steps
    assert all(error < 4 * tolerance for error, tolerance in zip(errors, tolerances, strict=True)), errors


def test_first_same_as_last_saves_an_evaluation() -> None:
    calls = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return pendulum(x)

    odeint(counted, X0, [0, 1], method=Dopri5, step=0.1)
    assert calls == 6 * 10 + 1
    calls = 0
    odeint(counted, X0, [0, 1], method=RK4, step=0.1)
    assert calls == 4 * 10


def test_error_estimate_is_the_difference_of_the_embedded_solutions() -> None:
    carry = Dopri5.init(lambda t, x: pendulum(x), 0.0, X0)
    step: Step = Dopri5.step(lambda t, x: pendulum(x), 0.0, X0, 0.1, carry)
    assert step.error is not None
    low = step.x - step.error
    exact = odeint(pendulum, X0, [0, 0.1], method=Dopri5, step=1e-3)[-1]
    assert float((step.x - exact).norm()) < 0.2 * float((low - exact).norm())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b": (0.5, 0.6)}, "sum to 1"),
        ({"a": ((), (1,), (0, 1))}, "rows of 0 to 1"),
        ({"b_low": (1, 0)}, "go together"),
        ({"b_low": (1, 1), "embedded_order": 1}, "b_low needs"),
        ({"dense": ((1, 0), (0, 1))}, "sum to b"),
    ],
)
def test_tableaus_that_are_none(change: dict[str, object], words: str) -> None:
    heun: dict[str, object] = {"order": 2, "a": ((), (1,)), "b": (0.5, 0.5), **change}
    with pytest.raises(UsageError, match=words):
        Tableau(**heun)  # type: ignore[arg-type]


def test_a_method_of_the_users_own() -> None:
    ralston = RungeKutta(Tableau(order=2, a=((), (Fraction(2, 3),)), b=(Fraction(1, 4), Fraction(3, 4))))
    assert repr(ralston) == "RungeKutta(order 2, 2 stages)"
    end = odeint(torch.neg, torch.ones(1, dtype=torch.float64), [0, 1], method=ralston, step=0.01)[-1]
    assert math.isclose(float(end), math.exp(-1), rel_tol=2e-5)
