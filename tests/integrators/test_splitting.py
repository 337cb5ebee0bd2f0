"""Implicit-explicit methods and splittings: order, stiff linear parts, the Macaron block."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from ctrlnet_plugins.integrators import ARS222, RK4, Euler, IMEXEuler, ImplicitMidpoint, Lie, Midpoint, Strang, Verlet
from marches import X0, march, swung
from swings import KEPT, defect, kick, split
from torch import Tensor

from ctrlnet import ShapeError, Split, UsageError, timed

IMEX = {"imex_euler": IMEXEuler(), "imex": ARS222()}
STIFF = torch.tensor([[-50.0, 1.0, 0.0], [0.0, -1.0, 2.0], [0.0, -2.0, -1.0]], dtype=torch.float64)
X3 = torch.tensor([0.5, -1.0, 0.8], dtype=torch.float64)
every_imex = pytest.mark.parametrize("name", IMEX)


def slopes(method: Any, field: Any, x: Tensor, end: Tensor, counts: tuple[int, ...], T: float = 1.0) -> list[float]:
    errors = [float((march(method, field, x, T / n, n) - end).norm()) for n in counts]
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


def mixing(x: Tensor) -> Tensor:
    """A network that is not stiff."""
    weight = torch.linspace(-1, 1, 9, dtype=x.dtype).reshape(3, 3)
    return torch.tanh(x @ weight.T + 0.3) @ weight.roll(1, 0)


@pytest.mark.parametrize(("name", "order"), [("imex_euler", 1), ("imex", 2)])
def test_order_with_a_stiff_eigenvalue(name: str, order: int) -> None:
    field = Split(STIFF, mixing)
    end = march(RK4, field.rate, X3, 1 / 4000, 4000)
    found = slopes(IMEX[name], field, X3, end, (20, 40, 80, 160))
    assert IMEX[name].order == order
    assert found[-1] > order - 0.1, found
    assert all(slope > order - 0.35 for slope in found), found


@pytest.mark.parametrize(("name", "order"), [("imex_euler", 1), ("imex", 2)])
def test_order_in_explicit_time(name: str, order: int) -> None:
    field = Split(STIFF / 10, timed(lambda t, x: mixing(x) * torch.cos(3 * t)))
    end = march(RK4, field.rate, X3, 1 / 1000, 1000)
    assert abs(slopes(IMEX[name], field, X3, end, (40, 80, 160))[-1] - order) < 0.1


@every_imex
def test_the_linear_part_may_be_as_stiff_as_it_likes(name: str) -> None:
    for rate in (50.0, 1e4, 1e8):
        field = Split(torch.diag(torch.tensor([-rate, -1.0]).double()), torch.zeros_like)
        x = march(IMEX[name], field, torch.ones(2, dtype=torch.float64), 2.0, 20)
        assert float(x[0].abs()) < 1e-9
        assert float(x[1].abs()) < 1


@every_imex
def test_one_step_on_a_linear_field(name: str) -> None:
    """With g = 0 the implicit parts: 1/(1-z), and that of the L-stable method of Alexander."""
    gamma = 1 - 1 / math.sqrt(2)
    for z in (-0.3, -4.0, -100.0):
        linear = Split(torch.tensor([[z]], dtype=torch.float64), torch.zeros_like)
        end = march(IMEX[name], linear, torch.ones(1).double(), 1.0, 1)
        expected = 1 / (1 - z) if name == "imex_euler" else (1 + (1 - 2 * gamma) * z) / (1 - gamma * z) ** 2
        assert math.isclose(float(end), expected, rel_tol=1e-13)


def test_without_a_linear_part_it_is_euler() -> None:
    field = Split(torch.zeros(3, 3, dtype=torch.float64), mixing)
    ours, theirs = march(IMEXEuler(), field, X3, 0.1, 10), march(Euler, lambda t, x: mixing(x), X3, 0.1, 10)
    assert torch.allclose(ours, theirs, atol=1e-15)
    end = march(RK4, field.rate, X3, 1 / 400, 400)
    assert abs(slopes(ARS222(), field, X3, end, (10, 20, 40))[-1] - 2) < 0.1


@every_imex
def test_every_row_has_its_own_step(name: str) -> None:
    field, method = Split(STIFF, mixing), IMEX[name]
    x, h = torch.stack([X3, -X3, X3]), torch.tensor([[0.1], [0.0], [-0.03]], dtype=torch.float64)
    together = method.step(field, 0.0, x, h, None).x
    alone = torch.stack([march(method, field, row, float(step), 1) for row, step in zip(x, h, strict=True)])
    assert torch.allclose(together, alone, atol=1e-14)
    assert torch.equal(together[1], x[1])
    stacked = march(method, field, x.expand(2, 3, 3), 0.1, 2)
    assert torch.allclose(stacked[1, 2], march(method, field, X3, 0.1, 2), atol=1e-14)


@every_imex
def test_derivatives(name: str) -> None:
    def stepped(x: Tensor, matrix: Tensor, h: Tensor) -> Tensor:
        return IMEX[name].step(Split(matrix, mixing), 0.0, x, h, None).x

    x, matrix = torch.stack([X3, -X3]).requires_grad_(), (STIFF / 10).requires_grad_()
    for h in (torch.tensor(0.3).double(), torch.tensor([[0.3], [-0.1]]).double()):
        torch.autograd.gradcheck(stepped, (x, matrix, h.requires_grad_()), check_forward_ad=True, fast_mode=True)
        torch.autograd.gradgradcheck(stepped, (x, matrix, h), fast_mode=True)


@every_imex
def test_a_singular_system_gives_no_number(name: str) -> None:
    eigenvalue = 1.0 if name == "imex_euler" else 1 / (1 - 1 / math.sqrt(2))
    field = Split(torch.diag(torch.tensor([eigenvalue, 0.0]).double()), torch.zeros_like)
    h = torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    end = IMEX[name].step(field, 0.0, torch.ones(2, 2, dtype=torch.float64), h, None).x
    assert bool(end[1].isfinite().all())
    assert bool(end[0].isnan().any() or end[0].abs().max() > 1e10)


@every_imex
def test_a_split_without_a_matrix_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="matrix L"):
        march(IMEX[name], Split(mixing, mixing), X3, 0.1, 1)
    with pytest.raises(ShapeError, match=r"\(3, 3\).*2 coordinates"):
        march(IMEX[name], Split(STIFF, torch.tanh), X0, 0.1, 1)


@pytest.mark.parametrize(("method", "order", "measured"), [(Lie(), 1, 7.9e-3), (Strang(), 2, 2.1e-5)])
def test_order_and_error_of_splittings(method: Any, order: int, measured: float) -> None:
    found = slopes(method, split, X0, swung(), (40, 80, 160), 2.0)
    assert method.order == order
    assert all(abs(slope - order) < 0.02 for slope in found), found
    error = float((march(method, Split(kick, lambda x: x @ KEPT.T), X0, 1 / 80, 160) - swung()).norm())
    assert abs(error / measured - 1) < 0.05


def test_strang_with_exact_parts_is_verlet() -> None:
    """Kick and drift are flows that Euler's method follows exactly."""
    from swings import separable

    steps = march(Strang(Euler, Euler), Split(kick, lambda x: x @ KEPT.T), X0, 0.1, 50)
    assert torch.allclose(steps, march(Verlet(), separable, X0, 0.1, 50), atol=1e-14)
    assert defect(Strang(Euler, Euler), split, X0, 0.3) < 1e-14


def feed_forward(x: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1, 12, dtype=x.dtype).reshape(6, 2)
    return (torch.tanh(tokens(x) @ weight.T) @ weight.roll(1, 0)).flatten(-2)


def attention(x: Tensor) -> Tensor:
    query = torch.tensor([[0.6, -1.0], [0.8, 0.5]], dtype=x.dtype)
    y = tokens(x)
    return (torch.softmax(y @ query @ y.mT, -1) @ y @ query).flatten(-2)


def tokens(x: Tensor) -> Tensor:
    return x.unflatten(-1, (3, 2))


SENTENCE = torch.linspace(-1, 1.2, 6, dtype=torch.float64)


def test_the_macaron_block_is_strang_splitting_with_euler_steps() -> None:
    x = SENTENCE + feed_forward(SENTENCE) / 2
    x = x + attention(x)
    x = x + feed_forward(x) / 2
    block = march(Strang(Euler, Euler), Split(feed_forward, attention), SENTENCE, 1.0, 1)
    assert torch.allclose(block, x, atol=1e-15)


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [(Euler, Euler, 1), (Midpoint, Euler, 1), ("rk4", Midpoint, 2), (RK4, RK4, 2), (ImplicitMidpoint, RK4, 2)],
)
def test_a_splitting_is_of_no_higher_order_than_its_parts(first: Any, second: Any, order: int) -> None:
    method, field = Strang(first, second), Split(feed_forward, attention)
    end = march(RK4, field.rate, SENTENCE, 1 / 200, 200)
    found = slopes(method, field, SENTENCE, end, (20, 40, 80))
    assert method.order == order
    assert abs(found[-1] - order) < 0.05, found


@pytest.mark.parametrize(("method", "order"), [(Lie(), 1), (Strang(), 2)])
def test_splittings_in_explicit_time(method: Any, order: int) -> None:
    field = Split(
        timed(lambda t, x: mixing(x) * torch.cos(3 * t)), timed(lambda t, x: torch.sin(2 * t) - x.roll(1, -1))
    )
    end = march(RK4, field.rate, X3, 1 / 1000, 1000)
    assert abs(slopes(method, field, X3, end, (20, 40, 80))[-1] - order) < 0.1


def test_what_a_splitting_claims() -> None:
    symmetric = Strang(ImplicitMidpoint, ImplicitMidpoint)
    assert symmetric.symmetric
    assert symmetric.symplectic
    assert not Strang().symmetric
    assert not Strang(ImplicitMidpoint, Midpoint).symplectic
    there = march(symmetric, Split(feed_forward, attention), SENTENCE, 0.1, 20)
    back = march(symmetric, Split(feed_forward, attention), there, -0.1, 20)
    assert torch.allclose(back, SENTENCE, atol=1e-13)


class _Remembering:
    ctrlnet_contract, order, needs, multistep = 1, 2, "Field", True


@pytest.mark.parametrize(
    ("inner", "words"),
    [(Verlet, "needs 'Separable'"), (_Remembering, "one-step"), (3.0, "needs None"), ("no_such", "No integrator")],
)
@pytest.mark.parametrize("splitting", [Lie, Strang])
def test_methods_that_cannot_advance_a_part(splitting: Callable[..., Any], inner: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        splitting(Euler, inner)
