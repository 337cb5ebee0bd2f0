"""Saturations written by hand: what `clamp` is certified for they are too, and no false statement beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, Budget, DiscreteDecrease, DiscreteMap, ExponentialStability, Verdict, certify, check

LIMIT = 1.5
GAIN, SHAPE = torch.tensor([2.0, 1.0]).double(), torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
BOX, BUDGET = Box([-2.0, -2.0], [2.0, 2.0]), Budget(seconds=20.0, boxes=200_000)

Saturation = Callable[[Tensor], Tensor]


def quadratic(x: Tensor) -> Tensor:
    return ((x @ SHAPE) * x).sum(-1)


def loop(saturation: Saturation) -> Callable[[Tensor], Tensor]:
    """θ'' = sin θ + sat(-2θ - θ')."""

    def field(x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], torch.sin(x[..., 0]) + saturation(-(x * GAIN).sum(-1))], -1)

    return field


def clamp(u: Tensor) -> Tensor:
    return torch.clamp(u, -LIMIT, LIMIT)


BY_HAND: dict[str, Saturation] = {
    "sign": lambda u: torch.where(u.abs() > LIMIT, LIMIT * torch.sign(u), u),
    "copysign": lambda u: torch.where(u.abs() > LIMIT, torch.copysign(torch.full_like(u, LIMIT), u), u),
    "the other way round": lambda u: torch.where(u.abs() <= LIMIT, u, LIMIT * torch.sign(u)),
    "of two entries, mixed": lambda u: torch.where(
        (u.abs() > LIMIT)[..., None], torch.sign(torch.stack([u, 2 * u], -1)) * LIMIT / 2, torch.stack([u, u], -1) / 2
    ).sum(-1),
}
FALSE: dict[str, Saturation] = {
    "beyond the limit the wrong sign": lambda u: torch.where(u.abs() > LIMIT, -LIMIT * torch.sign(u), u),
    "within the limit the wrong sign": lambda u: torch.where(u.abs() > LIMIT, LIMIT * torch.sign(u), -u),
    "taken at zero, the wrong sign": lambda u: torch.where(u.abs() > 0, -LIMIT * torch.sign(u), u),
    "at zero, beside a zero factor": lambda u: u * torch.sign(u),
}


def stable(saturation: Saturation, level: float | None = None) -> Verdict:
    return certify(ExponentialStability(quadratic, 0.1), loop(saturation), BOX, level=level, budget=BUDGET)


@pytest.fixture(scope="module")
def clamped() -> float:
    verdict = stable(clamp)
    assert verdict.level is not None and verdict.level > 1.1
    return verdict.level


@pytest.mark.parametrize("name", BY_HAND)
def test_a_saturation_by_hand_is_certified_as_clamp_is(name: str, clamped: float, tmp_path: Path) -> None:
    verdict = stable(BY_HAND[name])
    assert verdict.status == "certified", verdict.reason
    assert verdict.level is not None and verdict.level >= 0.99 * clamped
    verdict.save(tmp_path / "sat.cert")
    assert check(tmp_path / "sat.cert").ok


@pytest.mark.parametrize("name", FALSE)
def test_no_false_statement_beside_it_is_certified(name: str, clamped: float) -> None:
    """Below the level that is true of clamp; a jump at x* has no rate of its own sign."""
    verdict = stable(FALSE[name], level=0.9 * clamped)
    assert verdict.status != "certified", verdict.statement


def test_a_sign_that_matters_at_the_equilibrium_is_certified_for_no_level() -> None:
    for name in ("within the limit the wrong sign", "taken at zero, the wrong sign", "at zero, beside a zero factor"):
        assert stable(FALSE[name]).status != "certified"


def test_a_branch_that_is_not_taken_is_no_matter_in_discrete_time_and_in_V() -> None:
    condition = DiscreteDecrease(quadratic, 0.005)
    levels = []
    for saturation in (clamp, BY_HAND["sign"]):
        field = loop(saturation)
        verdict = certify(condition, DiscreteMap(lambda x, field=field: x + 0.05 * field(x)), BOX, budget=BUDGET)
        assert verdict.status == "certified" and verdict.level is not None
        levels.append(verdict.level)
    assert levels[1] >= 0.99 * levels[0]

    def bent(x: Tensor) -> Tensor:
        return quadratic(x) + 0.01 * BY_HAND["sign"]((x * GAIN).sum(-1)).square()

    verdict = certify(ExponentialStability(bent, 0.05), loop(clamp), BOX, level=0.3, budget=BUDGET)
    assert verdict.status == "certified", verdict.reason


def test_a_smooth_V_of_two_branches_has_no_kink_at_the_equilibrium() -> None:
    """Huber's function of z = x + y, by where: up to the level at which |z| = 1/2, where no slope is known."""

    def huber(x: Tensor) -> Tensor:
        z = x.sum(-1)
        return torch.where(z.abs() > 0.5, 0.5 * z.abs() - 0.125, 0.5 * z * z) + x.square().sum(-1)

    verdict = certify(ExponentialStability(huber, 0.5), lambda x: -x, Box([-1.0, -1.0], [1.0, 1.0]), budget=BUDGET)
    assert verdict.status == "certified" and verdict.level is not None and verdict.level > 0.24, verdict.reason
