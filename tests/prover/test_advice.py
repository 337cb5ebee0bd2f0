"""What a verdict advises where V or F does not suit the proof: words for the mistake at hand, and advice that helps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    Box,
    Budget,
    DiscreteDecrease,
    DiscreteMap,
    ExponentialStability,
    Quadratic,
    UltimateBound,
    Verdict,
    certify,
)
from ctrlnet.errors import TraceError

UNIT = Box([-1.0, -1.0], [1.0, 1.0])
WIDE, NARROW = Box([-6.0, -7.0], [6.0, 7.0]), Box([-3.0, -7.0], [3.0, 7.0])
P = torch.tensor([[1.5, 0.5], [0.5, 1.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.5]], dtype=torch.float64)


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def quadratic(x: Tensor) -> Tensor:
    return ((x @ P) * x).sum(-1)


def minus(x: Tensor) -> Tensor:
    return -x


def sliding(x: Tensor) -> Tensor:
    return -torch.sign(x) - x


def network(x: Tensor) -> Tensor:
    return torch.tanh(x @ WEIGHTS + 0.5).sum(-1)


def difference(x: Tensor) -> Tensor:
    return network(x) - network(torch.zeros_like(x))


def pendulum(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -torch.sin(x[..., 0]) - x[..., 1]], -1)


def wrapped(x: Tensor) -> Tensor:
    angle = (x[..., 0] + math.pi) % (2 * math.pi) - math.pi
    return 1.5 * angle.square() + angle * x[..., 1] + x[..., 1].square()


def decrease(V: Any, field: Any = minus, box: Box = UNIT, at: Any = None, level: float | None = None) -> Verdict:
    return certify(ExponentialStability(V, 0.1, at), field, box, level=level, budget=Budget(boxes=2000))


ADVICE: dict[str, tuple[Callable[[], Verdict], str, tuple[str, ...], tuple[str, ...]]] = {
    "a gradient that is not zero": (
        lambda: decrease(lambda x: torch.sigmoid(difference(x)) - 0.5),
        "falsified",
        ("∇V(x*) is not 0", "no minimum of V", "|net(x) - net(x*)|²", "UltimateBound(V, inner)"),
        ("Subtract the value", "at=(...)", "exact("),
    ),
    "F jumps at x*": (
        lambda: decrease(squares, sliding),
        "undecided",
        ("F(x*) = 0 is not an identity", "F jumps there", "UltimateBound(V, inner)"),
        ("Otherwise subtract", "at=(...)"),
    ),
    "the map jumps at x*": (
        lambda: certify(DiscreteDecrease(squares, 0.01), DiscreteMap(lambda x: 0.5 * x + 0.1 * torch.sign(x)), UNIT),
        "undecided",
        ("F(x*) - x* = 0", "F jumps there"),
        ("Otherwise subtract",),
    ),
    "F that jumps elsewhere is not 0 at x*": (
        lambda: decrease(squares, lambda x: 0.25 - x - torch.sign(x - 0.5)),
        "falsified",
        ("F(x*) is not 0", "of size 1.25"),
        ("jumps",),
    ),
    "a singular second derivative": (
        lambda: decrease(lambda x: x[..., 0].square() + x[..., 1] ** 4),
        "undecided",
        ("∇²V(x*) is singular", "between 0 and 2", "ε|x - x*|²"),
        ("matrix inequalities",),
    ),
    "a V that is flat": (
        lambda: decrease(lambda x: torch.relu(quadratic(x) - 0.1)),
        "undecided",
        ("∇²V(x*) is singular", "ε|x - x*|²"),
        (),
    ),
    "a decrease that is only just none": (
        lambda: certify(ExponentialStability(squares, 2.0), minus, UNIT),
        "undecided",
        ("matrix inequalities",),
        ("singular",),
    ),
    "a root": (
        lambda: decrease(lambda x: torch.sqrt(quadratic(x))),
        "undecided",
        ("∇²V(x*) has no value", "root has no derivative at 0", "torch.linalg.vector_norm((x - x*) @ R)"),
        ("matrix inequalities",),
    ),
    "the equilibrium is elsewhere": (
        lambda: decrease(lambda x: squares(x - 0.5), lambda x: 0.5 - x),
        "falsified",
        ("F(x*) is not 0 at x* = (0, 0)", "of size 0.5", "at=(...)"),
        ("float32",),
    ),
    "V is not zero": (
        lambda: decrease(lambda x: squares(x) + 0.01),
        "falsified",
        ("V(x*) is 0.01 at x* = (0, 0), and has to be 0", "Subtract the value"),
        ("float32",),
    ),
    "a float32 decimal": (
        lambda: decrease(lambda x: squares(x - torch.tensor([0.1, 0.1])), lambda x: 0.1 - x, at=(0.1, 0.1)),
        "falsified",
        ("V(x*) is 4.44e-18", "float32 0.1 is not the float64 0.1", 'exact("0.1")'),
        ("Subtract",),
    ),
    "a turn within the box": (
        lambda: decrease(wrapped, pendulum, WIDE),
        "undecided",
        ("V jumps in an open box", "wrapped angles within one turn"),
        (),
    ),
    "a jump of F within the box": (
        lambda: decrease(squares, lambda x: torch.where(squares(x)[..., None] > 0.5, x, -x), level=0.5),
        "undecided",
        ("F jumps in an open box", "both sides"),
        ("V jumps",),
    ),
    "a budget that ends where nothing jumps": (
        lambda: certify(ExponentialStability(wrapped, 0.1), pendulum, NARROW, level=7.4, budget=Budget(boxes=9)),
        "undecided",
        ("the budget of 9 boxes ended",),
        ("jumps",),
    ),
}


@pytest.mark.parametrize("name", ADVICE)
def test_the_mistake_is_named_with_what_to_do(name: str) -> None:
    attempt, status, said, unsaid = ADVICE[name]
    verdict = attempt()
    assert verdict.status == status, verdict
    assert all(words in verdict.reason for words in said), verdict.reason
    assert not any(words in verdict.reason for words in unsaid), verdict.reason


def test_the_advice_helps() -> None:
    R = torch.linalg.cholesky(P)
    for verdict in (
        certify(UltimateBound(squares, 0.1), sliding, UNIT),
        decrease(lambda x: difference(x).square() + squares(x)),
        decrease(lambda x: 0.01 * squares(x) + (x**4).sum(-1)),
        decrease(lambda x: torch.linalg.vector_norm(x @ R, dim=-1)),
        decrease(lambda x: squares(x - 0.5), lambda x: 0.5 - x, at=(0.5, 0.5)),
        decrease(wrapped, pendulum, NARROW),
        decrease(Quadratic(P)),
    ):
        assert verdict.status == "certified", verdict


def test_a_matrix_is_no_function_and_a_box_of_another_dimension_is_told() -> None:
    with pytest.raises(TraceError, match=r"V is a Tensor; .*ctrlnet\.Quadratic\(P\)"):
        decrease(P)
    with pytest.raises(TraceError, match=r"tensor \(3,\).* the box.* has 3 coordinates"):
        decrease(quadratic, box=Box([-1.0] * 3, [1.0] * 3))
