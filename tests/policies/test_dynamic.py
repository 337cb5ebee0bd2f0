"""Dynamic policies: rest, what they see, limits, the proof of an augmented loop in words, errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ctrlnet import (
    Box,
    ClosedLoop,
    DynamicPolicy,
    ExponentialStability,
    Memory,
    Quadratic,
    Quantity,
    System,
    UsageError,
    augmented,
    certify,
    check,
    lyapunov_equation,
    mlp,
)

CART = System(
    lambda x: torch.stack([x[..., 1], torch.zeros_like(x[..., 1])], -1),
    lambda x: torch.tensor([[0.0], [1.0]]).to(x).expand(*x.shape[:-1], 2, 1),
    state=(Quantity("p", "m"), Quantity("v", "m/s")),
    control=(Quantity("u", "N"),),
    limits=Box([-1], [1]),
)
OWN = Memory((Quantity("z", "m"),), box=Box([-2], [2]), rates=Box([-8], [8]), at=(0.5,))
WHOLE = augmented(CART, OWN)


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def policy(**changes: object) -> DynamicPolicy:
    seen = 1 if changes.get("sees") else 2
    options: dict[str, object] = {"at": (0.3, 0.0), "control_at": (0.25,), **changes}
    plant = options.pop("plant", WHOLE)
    return DynamicPolicy(mlp((seen + 1, 6, 1), seed=0), mlp((seen + 1, 4, 1), seed=1), plant, **options)  # type: ignore[arg-type]


def test_formula() -> None:
    pi, rest = policy(scale=(1, 2, 4)), torch.tensor([0.3, 0.0, 0.5], dtype=torch.float64)
    divisor, y = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), 0.3 * states(50, 3)
    psi, phi = pi.feedback.network.readout, pi.feedback.network.motion
    u = (psi(y / divisor) - psi(rest / divisor) + 0.25).clamp(-1, 1)
    z = (phi(y / divisor) - phi(rest / divisor)).clamp(-8, 8)
    torch.testing.assert_close(pi(y), torch.cat([u, z], -1), rtol=1e-14, atol=1e-14)


def test_it_rests_exactly_and_keeps_its_limits() -> None:
    pi = policy()
    assert pi(torch.tensor([0.3, 0.0, 0.5], dtype=torch.float64)).tolist() == [0.25, 0.0]
    assert WHOLE.limits is not None and bool(WHOLE.limits.contains(pi(1e3 * states(200, 3))).all())
    y = states(50, 3)
    inside = pi.unsaturated(y).abs()[:, 0] < 1
    assert torch.equal(pi(y)[inside], pi.unsaturated(y)[inside])


def test_what_it_does_not_see_changes_nothing() -> None:
    pi, y = policy(sees=(0,)), states(5, 3).requires_grad_()
    pi.unsaturated(y).sum().backward()
    assert y.grad is not None and y.grad[:, 1].tolist() == [0.0] * 5
    assert bool((y.grad[:, [0, 2]] != 0).all())


def linear(*rows: tuple[float, ...]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False, dtype=torch.float64)
    layer.weight = nn.Parameter(torch.tensor(rows, dtype=torch.float64))
    return layer


@pytest.fixture(scope="module")
def filtered() -> tuple[ClosedLoop, Callable[[Tensor], Tensor]]:
    """p'' = u with p alone measured: z' = -2 (z + 2 p) + u estimates the speed as z + 2 p, u = -p - 2 (z + 2 p)."""
    plant = augmented(CART, Memory((Quantity("z", "m/s"),), box=Box([-4], [4]), rates=Box([-64], [64])))
    u = (-5.0, -2.0)
    z = (u[0] - 4, u[1] - 2)
    pi = DynamicPolicy(linear(u), linear(z), plant, at=(0, 0), control_at=(0,), sees=(0,))
    A = torch.tensor([[0, 1, 0], [u[0], 0, u[1]], [z[0], 0, z[1]]], dtype=torch.float64)
    assert sorted(torch.linalg.eigvals(A).real.round(decimals=5).tolist()) == [-2, -1, -1]  # the estimate, the cart
    return ClosedLoop(plant, pi), Quadratic(lyapunov_equation(A, torch.eye(3, dtype=torch.float64)))


def test_the_augmented_loop_is_certified_and_the_certificate_says_what_it_is(filtered, tmp_path) -> None:
    loop, V = filtered
    verdict = certify(ExponentialStability(V, rate=0.05), loop, Box([-2, -2, -4], [2, 2, 4]))
    assert verdict.status == "certified" and verdict.level > 0.01
    words = "The state (p, v, z) joins the state (p, v) of the plant with the internal state (z) of its policy"
    report = check(verdict.save(tmp_path / "augmented.cert"))
    assert report.ok and words in verdict.statement and any(words in one for one in report.assumptions)


def test_with_a_period_the_steps_of_the_policys_own_state_are_certified_too(filtered) -> None:
    """z' is held with u, which makes z(t + T) = z(t) + T z': the proof is of the controller that takes these steps."""
    loop, V = filtered
    held = ClosedLoop(loop.plant, loop.policy, period=0.05)
    box, falling = Box([-2, -2, -4], [2, 2, 4]), ExponentialStability(V, rate=0.05)
    assert certify(falling, held, box, level=0.08).status == "certified"
    assert certify(falling, ClosedLoop(loop.plant, loop.policy, period=0.8), box, level=0.08).status != "certified"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plant": CART}, "has no memory"),
        ({"sees": (2,)}, "from 0 to 1"),
        ({"sees": (0, 0)}, "each once"),
        ({"control_at": (2,)}, "outside the limits"),
    ],
)
def test_errors(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        policy(**changes)
