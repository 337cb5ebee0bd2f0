"""Plants, closed loops, and the check that rows are not mixed."""

from __future__ import annotations

import pytest
import torch
from damped_pendulum import ANGLE, TORQUE, drift, gain, pendulum
from torch import Tensor, nn

from ctrlnet import Box, ClosedLoop, NonFinite, Quantity, ShapeError, System, UsageError
from ctrlnet.systems import check_rows


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_affine_in_the_control() -> None:
    plant = pendulum()
    assert (plant.n, plant.m) == (2, 1)
    assert str(plant.state[1]) == "omega [rad/s]"
    x, u = states(4, 3, 2), states(4, 3, 1)
    expected = torch.stack([x[..., 1], torch.sin(x[..., 0]) - x[..., 1] + u[..., 0]], -1)
    assert torch.allclose(plant(x, u), expected, rtol=1e-14)
    assert torch.allclose(plant(x, 2 * u) - plant(x, u), plant(x, u) - plant(x, 0 * u))
    assert plant(x[0, 0], u[0, 0]).shape == (2,)


def test_two_controls_match_the_matrix_product() -> None:
    G = states(3, 2)
    names = [Quantity(name, "m") for name in "abc"]
    plant = System(torch.tanh, lambda x: G * x[..., :1, None], state=names, control=[("p", "N"), ("q", "N")])
    x, u = states(5, 3), states(5, 2)
    assert torch.allclose(plant(x, u), torch.tanh(x) + (u @ G.T) * x[:, :1])
    assert plant.control[1] == Quantity("q", "N")


def test_closed_loop() -> None:
    plant, policy = pendulum(), lambda x: -x[..., :1]
    x = states(5, 2)
    assert torch.equal(ClosedLoop(plant, policy)(x), plant(x, policy(x)))
    assert ClosedLoop(plant, policy, period=1).period == 1.0
    with pytest.raises(UsageError, match="period"):
        ClosedLoop(plant, policy, period=0.0)
    with pytest.raises(UsageError, match="give a System"):
        ClosedLoop(torch.sin, policy)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="policy maps"):
        ClosedLoop(plant, lambda x: x)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: x - x.mean(0), UsageError, "mixes the rows"),
        (lambda x: x * torch.rand(2, dtype=x.dtype), UsageError, "random"),
        (nn.BatchNorm1d(2, dtype=torch.float64), ShapeError, "fails on states"),
        (lambda x: x[..., 0], ShapeError, "must give shape"),
        (lambda x: x.float(), ShapeError, "dtype"),
        (lambda x: x.numpy(), ShapeError, "ndarray"),
        (lambda x: x[5], ShapeError, "fails on states"),
        (lambda x: x / 0, NonFinite, "NaN or infinity"),
        (lambda x: torch.stack([x[0], x[1]]), ShapeError, "must give shape"),
    ],
)
def test_functions_that_are_no_fields(function: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_rows(function, 2, (2,), "f")  # type: ignore[arg-type]
    with pytest.raises(error, match=words):
        System(function, gain, state=ANGLE, control=TORQUE)  # type: ignore[arg-type]


def test_dropout_is_random_until_eval() -> None:
    network = nn.Sequential(nn.Linear(2, 2, dtype=torch.float64), nn.Dropout(0.5))
    with pytest.raises(UsageError, match=r"eval\(\)"):
        check_rows(network, 2, (2,), "policy")
    check_rows(network.eval(), 2, (2,), "policy")


def test_float32_modules_are_checked_in_their_dtype() -> None:
    check_rows(nn.Linear(2, 1), 2, (1,), "policy")


def test_wrong_limits_and_states() -> None:
    with pytest.raises(ShapeError, match="limits has dimension 2"):
        System(drift, gain, state=ANGLE, control=TORQUE, limits=Box([0, 0], [1, 1]))
    with pytest.raises(ShapeError, match="u has shape"):
        pendulum()(states(2), states(3))
    with pytest.raises(ShapeError, match="must be 2"):
        pendulum()(states(3), states(1))
