"""Plants, closed loops, maps, disturbed fields, and the check that rows are not mixed."""

from __future__ import annotations

import pytest
import torch
from damped_pendulum import ANGLE, TORQUE, drift, gain, pendulum
from torch import Tensor, nn

from ctrlnet import (
    Box,
    ClosedLoop,
    DiscreteMap,
    Disturbed,
    NonFinite,
    Quantity,
    ShapeError,
    System,
    UsageError,
    solve,
)
from ctrlnet.systems import check_field, check_rows, draw


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


def test_a_map() -> None:
    x, d = states(4, 3, 2), states(4, 3, 1)
    halving = DiscreteMap(lambda x: x / 2)
    assert torch.equal(halving(x), x / 2) and halving.disturbance is None
    assert torch.equal(halving.function(x), x / 2)  # type: ignore[call-arg]
    box = Box([-1], [1])
    disturbed = DiscreteMap(lambda x, d: x / 2 + d, box)
    assert torch.equal(disturbed(x, d), x / 2 + d) and disturbed.disturbance is box
    assert torch.equal(DiscreteMap(nn.Linear(2, 2, bias=False, dtype=torch.float64))(0 * x), 0 * x)


def test_wrong_maps() -> None:
    x, box = states(3, 2), Box([-1], [1])
    with pytest.raises(UsageError, match="has no disturbance"):
        DiscreteMap(torch.neg)(x, x)
    with pytest.raises(UsageError, match=r"is disturbed.*Box\(\[-1.0\], \[1.0\]\)"):
        DiscreteMap(lambda x, d: x + d, box)(x)
    with pytest.raises(ShapeError, match="d has shape"):
        DiscreteMap(lambda x, d: x + d, box)(x, x)
    with pytest.raises(UsageError, match=r"missing a required argument.*x alone; with a disturbance give its box"):
        DiscreteMap(lambda x, d: x + d)
    with pytest.raises(UsageError, match=r"too many positional.*of x and d"):
        DiscreteMap(lambda x: x, box)
    with pytest.raises(UsageError, match="The map is 3"):
        DiscreteMap(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"disturbance of the DiscreteMap is 0.1"):
        DiscreteMap(torch.neg, 0.1)  # type: ignore[arg-type]
    plant = pendulum()
    for velocity in (plant, ClosedLoop(plant, lambda x: x[..., :1]), Disturbed(lambda x, d: x, box)):
        with pytest.raises(UsageError, match=f"is a {type(velocity).__name__}, which gives velocities"):
            DiscreteMap(velocity)  # type: ignore[arg-type]


def test_a_disturbed_field() -> None:
    plant, box = pendulum(), Box([-0.1], [0.1])
    field = Disturbed(lambda x, d: plant(x, d), box)
    x, d = states(5, 2), states(5, 1)
    assert torch.equal(field(x, d), plant(x, d)) and torch.equal(field.function(x, d), plant(x, d))
    assert field.disturbance is box
    with pytest.raises(ShapeError, match="d has shape"):
        field(x, x)


def test_a_disturbed_plant_and_its_loop() -> None:
    box = Box([0.5, 2.0], [1.0, 4.0])
    names = {"state": ANGLE, "control": TORQUE, "disturbance": box}

    def push(x: Tensor, d: Tensor) -> Tensor:
        return gain(x) / d[..., 1:, None]

    plant = System(lambda x, d: d[..., :1] * drift(x), push, **names)
    loop = ClosedLoop(plant, lambda x: -x[..., :1])
    x, u = states(5, 2), states(5, 1)
    d = box.sample(5, torch.Generator().manual_seed(0))
    expected = d[:, :1] * drift(x) + (gain(x) @ u[..., None])[..., 0] / d[:, 1:]
    assert torch.allclose(plant(x, u, d), expected) and plant.disturbance is box
    assert torch.equal(loop(x, d), plant(x, -x[..., :1], d)) and loop.disturbance is box
    for call in (lambda: plant(x, u), lambda: loop(x)):
        with pytest.raises(UsageError, match=r"is disturbed; call it with a d in Box"):
            call()
    with pytest.raises(UsageError, match="has no disturbance"):
        pendulum()(x, u, d)
    with pytest.raises(ShapeError, match="d has shape"):
        plant(x, u, u)
    with pytest.raises(UsageError, match="f cannot be called with x and d"):
        System(drift, push, **names)
    with pytest.raises(UsageError, match="mixes the rows"):
        System(lambda x, d: x * d.mean(), push, **names)
    with pytest.raises(UsageError, match=r"lambda x: loop\(x, d\)"):
        check_field(loop)


def test_wrong_disturbed_fields() -> None:
    box = Box([-0.1], [0.1])
    with pytest.raises(UsageError, match=r"disturbance of the Disturbed field is 0.1"):
        Disturbed(lambda x, d: x, 0.1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="second argument is a control"):
        Disturbed(pendulum(), box)
    with pytest.raises(UsageError, match="called with x and d: too many"):
        Disturbed(lambda x: x, box)  # type: ignore[arg-type, misc]
    with pytest.raises(UsageError, match="The field is None"):
        Disturbed(None, box)  # type: ignore[arg-type]


def test_what_is_no_field_is_said() -> None:
    box = Box([-0.1], [0.1])
    for system, words in (
        (pendulum(), "ClosedLoop"),
        (Disturbed(lambda x, d: x, box), r"lambda x: field\(x, d\)"),
        (DiscreteMap(torch.neg), "has no velocity"),
    ):
        with pytest.raises(UsageError, match=words):
            check_field(system)
        with pytest.raises(UsageError, match=words):
            solve(system, states(2), [0, 1])  # type: ignore[arg-type]
    check_field(torch.neg)


def test_disturbances_drawn() -> None:
    """In the box; a corner half of the time, every corner equally often; repeated by the seed; of the state's dtype."""
    box = Box([-1, 0.1], [3, 0.7])
    torch.manual_seed(7)
    drawn = draw(box, states(4000, 2))
    torch.manual_seed(7)
    assert torch.equal(draw(box, states(4000, 2)), drawn) and bool(box.contains(drawn).all())
    corner = ((drawn == box.lower) | (drawn == box.upper)).all(-1)
    assert 0.45 < float(corner.double().mean()) < 0.55
    for vertex in box.grid(2):
        assert 0.2 < float((drawn[corner] == vertex).all(-1).double().mean()) < 0.3
    uniform = (drawn[~corner] - box.center) / box.half_widths
    assert torch.allclose(uniform.mean(0), torch.zeros(2, dtype=torch.float64), atol=0.06)
    assert torch.allclose(uniform.square().mean(0), torch.full((2,), 1 / 3, dtype=torch.float64), atol=0.04)
    assert draw(box, states(5, 3, 7).float()).shape == (5, 3, 2)
    assert draw(box, states(5, 3, 7).float()).dtype == torch.float32
    assert draw(box, states(7)).shape == (2,)
