"""Where training looks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, UsageError
from ctrlnet.training import HardStates, StateSampler

BOX = Box([-2.0, -1.0], [4.0, 3.0])
AT = (1.0, 0.5)


def sampler(seed: int = 0) -> StateSampler:
    return StateSampler(BOX, AT, seed)


@pytest.mark.parametrize("draw", ["uniform", "faces", "near"])
def test_draws_lie_in_the_box_and_repeat(draw: str) -> None:
    x, again, other = (getattr(sampler(seed), draw)(500) for seed in (0, 0, 1))
    assert x.shape == (500, 2)
    assert bool(BOX.contains(x).all())
    assert torch.equal(x, again)
    assert not torch.equal(x, other)


def test_near_states_fill_every_decade() -> None:
    distance = ((sampler().near(4000) - torch.tensor(AT)) / BOX.half_widths).norm(dim=-1)
    shares = [float(((distance > 10.0**k) & (distance <= 10.0 ** (k + 1))).double().mean()) for k in (-4, -3, -2, -1)]
    assert min(shares) > 0.2
    assert float(distance.min()) > 0


def test_the_equilibrium_must_lie_in_the_box() -> None:
    with pytest.raises(UsageError, match="does not contain the equilibrium"):
        StateSampler(BOX, (5.0, 0.0), 0)


def corner(x: Tensor) -> Tensor:
    """Violated in a sliver of a thousandth of the box."""
    return x[..., 0] - 3.99


def test_the_pool_finds_a_sliver_and_keeps_it() -> None:
    hard = HardStates(sampler(), 512)
    before = float((corner(hard.draw(512)) > -0.05).double().mean())
    for _ in range(20):
        hard.refresh(corner)
    assert float((corner(hard.draw(512)) > -0.05).double().mean()) > max(0.3, 10 * before)


def test_seeking_gives_the_worst() -> None:
    worst = HardStates(sampler(), 64).seek(corner, 50_000)
    assert worst.shape == (64, 2)
    assert bool((corner(worst) > 0).all())
