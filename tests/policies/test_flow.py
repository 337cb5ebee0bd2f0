"""Flow policies: the steps written out, their order, the proof of an unrolled loop, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ctrlnet import (
    Box,
    ClosedLoop,
    ExponentialStability,
    FlowPolicy,
    NameNotFound,
    Quadratic,
    Quantity,
    ShapeError,
    System,
    UsageError,
    certify,
    mlp,
)

LIMITS = Box([-1], [1])


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def linear(weight: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=False, dtype=torch.float64)
    layer.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    return layer


def policy(**changes: object) -> FlowPolicy:
    field = nn.Sequential(mlp((5, 5), seed=1), nn.Tanh())
    options: dict[str, object] = {"limits": LIMITS, "at": (0.3, -0.7), "control_at": (0.25,), **changes}
    return FlowPolicy(mlp((2, 5), seed=0), field, mlp((5, 1), seed=2), **options)  # type: ignore[arg-type]


def test_steps_of_the_classic_method_written_out() -> None:
    pi = policy(limits=None, steps=3, duration=1.5, scale=(4, 2))
    embed, flow, readout = pi.feedback.network

    def network(x: Tensor) -> Tensor:
        s, f, h = embed(x / torch.tensor([4.0, 2.0], dtype=torch.float64)), flow.field, 0.5
        for _ in range(3):
            k1 = f(s)
            k2 = f(s + h / 2 * k1)
            k3 = f(s + h / 2 * k2)
            k4 = f(s + h * k3)
            s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return readout(s)

    x = states(20, 2)
    torch.testing.assert_close(pi(x), network(x) - network(pi.feedback.at) + 0.25, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5"])
def test_the_control_at_the_equilibrium_is_exact_and_limits_hold(method: str) -> None:
    pi = policy(method=method)
    assert pi(pi.feedback.at).tolist() == [0.25]
    u = pi(100 * states(200, 2))
    assert bool(LIMITS.contains(u).all())


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk4", 4)])
def test_more_steps_come_to_the_flow_of_a_linear_field_at_the_order_of_the_method(method: str, order: int) -> None:
    A, x = [[-0.2, 1.0], [-1.0, -0.4]], states(8, 2)
    exact = (x @ torch.linalg.matrix_exp(2 * torch.tensor(A, dtype=torch.float64)).T)[..., :1]
    errors = []
    for steps in (16, 32):
        pi = FlowPolicy(linear([[1, 0], [0, 1]]), linear(A), linear([[1, 0]]), at=(0, 0), control_at=(0,),
                        steps=steps, duration=2.0, method=method)  # fmt: skip
        errors.append(float((pi(x) - exact).abs().max().detach()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_the_loop_with_the_flow_unrolled_is_certified() -> None:
    """x' = x + u with u = -6 times the flow of s' = -tanh(s), saturated at 2 where it limits the level.

    There V = x² falls at the rate of 0.2 where 2 x (x - 2) <= -0.2 x², that is |x| <= 4/2.2.
    """
    plant = System(lambda x: x, lambda x: torch.ones_like(x).unsqueeze(-1), state=(Quantity("x", "m"),),
                   control=(Quantity("u", "N"),), limits=Box([-2], [2]))  # fmt: skip
    field = nn.Sequential(nn.Tanh(), linear([[-1.0]]))
    pi = FlowPolicy(linear([[1.0]]), field, linear([[-6.0]]), plant.limits, at=(0,), control_at=(0,), steps=4)
    verdict = certify(ExponentialStability(Quadratic(1), rate=0.2), ClosedLoop(plant, pi), Box([-3], [3]))
    assert verdict.status == "certified"
    assert 0.99 * (4 / 2.2) ** 2 < verdict.level < (4 / 2.2) ** 2
    assert verdict.report is not None and verdict.report.ok


def test_gradients_reach_all_three_maps() -> None:
    pi = policy(limits=None)
    pi(states(4, 2)).sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for name, weight in pi.named_parameters()
               if not name.endswith("network.2.0.bias"))  # fmt: skip
    assert "4 steps of rk4" in repr(pi)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, UsageError, "1 or more"),
        ({"steps": 2.5}, UsageError, "whole number"),
        ({"duration": 0.0}, UsageError, "above zero"),
        ({"duration": float("nan")}, UsageError, "above zero"),
        ({"method": "rk5"}, NameNotFound, "rk5"),
        ({"limits": Box([-1, -1], [1, 1])}, ShapeError, "control_at"),
        ({"control_at": (2,)}, UsageError, "outside the limits"),
    ],
)
def test_errors(changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        policy(**changes)


def test_a_field_that_changes_the_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="network fails"):
        FlowPolicy(mlp((2, 5)), mlp((5, 4)), mlp((5, 1)), at=(0, 0), control_at=(0,))
