"""False statements, one row a statement: nothing here may ever be certified. The table only grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    ClosedLoop,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    Quantity,
    StayWithin,
    System,
    UltimateBound,
    exact,
)
from tests.prover.plants import FACTOR, pendulum, quadratic

Function = Callable[[Tensor], Tensor]
BOX = Box([-2.0, -8.0], [2.0, 8.0])
UNIT = Box([-1.0, -1.0], [1.0, 1.0])
LINE = Box([-1.0], [1.0])


@dataclass(frozen=True)
class Stability:
    """V falls at `rate` along `field` on {V <= level} inside `box`: false."""

    V: Function
    field: Function
    box: Box = BOX
    rate: float = 0.1
    level: float | None = None
    at: tuple[float, ...] | None = None
    refused: bool = False  # an error before any proof is as good: the function cannot be meant
    found: bool = True  # a state that refutes it is found; not where it fails in the limit or in a sliver alone


def _half_gradient(x: Tensor) -> Tensor:
    """Its autograd gradient is that of a good V; its values are of a V that rises."""
    good, bad = quadratic(x), (x @ torch.diag(torch.tensor([0.1, 1.0], dtype=torch.float64))).square().sum(-1)
    return bad.detach() + good - good.detach()


def _through_numpy(x: Tensor) -> Tensor:
    stable = -x
    return stable + torch.from_numpy(2 * np.asarray(x.detach().numpy()))


def _clipped_in_place(x: Tensor) -> Tensor:
    values = x.numpy()
    np.clip(values, -0.5, 0.5, out=values)
    return -x


def _sign_through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.where(x.numpy()[..., :1] > 0, -1.0, 4.0)) * x


def _behind_a_view(x: Tensor) -> Tensor:
    """x₁ grows where x₁ > 0.9999: a sliver that sampled states miss."""
    buffer = torch.zeros_like(x)
    view = buffer[..., :]
    torch.cat([1e6 * torch.relu(x[..., :1] - 0.9999), 0 * x[..., 1:]], -1, out=buffer)
    return view - x


def _in_a_parameter(x: Tensor) -> Tensor:
    sliver = torch.cat([1e6 * torch.relu(x[..., :1] - 0.9999), 0 * x[..., 1:]], -1)
    return torch.nn.Parameter(sliver, requires_grad=False) - x


def _unless(x: Tensor, reads: Callable[[Tensor], list[float]]) -> Tensor:
    """x' = -x but where x₁ > 0.9999, a sliver that sampled states miss, in a number read behind torch's back."""
    pushes = [[1e6 * max(value - 0.9999, 0.0), 0.0] for value in reads(x[..., 0].reshape(-1))]
    return torch.tensor(pushes, dtype=torch.float64).reshape(x.shape) - x


def _applied(x: Tensor) -> list[float]:
    values: list[float] = []
    x.clone().apply_(lambda value: values.append(value) or value)
    return values


def _mapped(x: Tensor) -> list[float]:
    values: list[float] = []
    x.clone().map_(x, lambda value, other: values.append(other) or value)
    return values


def _printed(x: Tensor) -> list[float]:
    return [float(str(value.reshape(1)).split("[")[1].split("]")[0]) for value in x]


def _hooked(x: Tensor) -> list[float]:
    values: list[Any] = []
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        half = leaf.square().sum() / 2
        leaf.register_hook(lambda gradient: values.extend(gradient.numpy().tolist()))
        torch.autograd.grad(half, leaf)
    return values


def _singular(x: Tensor) -> list[float]:
    """1 where 0.9999 - x is not positive, told by an inverse that fails."""
    values = []
    for value in x:
        try:
            torch.linalg.inv(torch.relu(0.9999 - value).reshape(1, 1))
            values.append(0.0)
        except RuntimeError:
            values.append(1.0)
    return values


def _less_a_kink(x: Tensor) -> Tensor:
    """√(x₁² + 1/100) - 1/10 - |x₁|/2 + x₂²: flat at 0 but for the kink, so negative there."""
    tenth = torch.full_like(x[..., :1], 0.1)
    length = torch.linalg.vector_norm(torch.cat([x[..., :1], tenth], -1), dim=-1)
    return length - tenth[..., 0] - 0.5 * x[..., 0].abs() + x[..., 1].square()


def _another_value_at_the_step(x: Tensor) -> Tensor:
    """-|x|² where x₁ = 0.3 exactly."""
    return squares(x) * (2 - torch.heaviside(x[..., 0] - 0.3, torch.tensor(3.0, dtype=x.dtype)))


def _narrow_bump(x: Tensor) -> Tensor:
    """x' = -x but on |x₁ - 1/2| < 5e-7, where x₁ grows."""
    bump = torch.relu(1 - 2e6 * torch.abs(x[..., :1] - 0.5))
    return torch.cat([-x[..., :1] + 3 * bump, -x[..., 1:]], -1)


def _one_sided(x: Tensor) -> Tensor:
    """x₁' = -x₁ to the left, +x₁/2 to the right of a kink at the equilibrium."""
    return torch.cat([-x[..., :1] + 1.5 * torch.relu(x[..., :1]), -x[..., 1:]], -1)


def _kinked_value(x: Tensor) -> Tensor:
    """V = |x|² + 3 relu(x₂ - 1/2) with a field that pushes across the kink one way."""
    return x.square().sum(-1) + 3 * torch.relu(x[..., 1] - 0.5)


def _pushed_up(x: Tensor) -> Tensor:
    """x' = -x, with x₂ driven up in a thin layer above x₂ = 1/2 only."""
    layer = torch.relu(1 - 1e4 * torch.abs(x[..., 1] - 0.50005))
    return torch.stack([-x[..., 0], -x[..., 1] + 0.9 * layer], -1)


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def _dented(x: Tensor) -> Tensor:
    """x², but less by 0.3 where x² is in [3/8, 5/8): it falls along -x but rises from 0.075 to 0.375 at x² = 3/8."""
    quarters = torch.round(4 * squares(x))
    return squares(x) - 0.3 * torch.relu(1 - (quarters - 2).abs())


def _written_twice(x: Tensor, write: Callable[[Tensor, Tensor], object]) -> Tensor:
    """-x, but 5 near 1: the first entry of two that share a place is written there, the second is not."""
    field = -x.unsqueeze(-1)
    write(field.expand(*x.shape, 2), torch.stack([x, 0 * x], -1) > 1 - 1e-6)
    return field[..., 0]


def _put(y: Tensor, mask: Tensor) -> None:
    y[mask] = 5.0


def _whole(x: Tensor) -> Tensor:
    """1 at whole numbers, 0 elsewhere."""
    return torch.floor(x) + torch.floor(-x) + 1


STABILITY: dict[str, Stability] = {
    "a policy scaled by -1": Stability(quadratic, partial(pendulum, gain=-1.0)),
    "V with the wrong sign": Stability(lambda x: -quadratic(x), pendulum),
    "V of mixed sign": Stability(lambda x: x[..., 0].square() - x[..., 1].square(), lambda x: -x, UNIT),
    "V zero along a line": Stability(lambda x: x[..., 0].square(), lambda x: -x, UNIT, found=False),
    "V zero at a second point": Stability(
        lambda x: squares(x) * (x - 0.5).square().sum(-1), lambda x: -x, UNIT, level=0.2
    ),
    "V positive at the equilibrium": Stability(lambda x: squares(x) + 1e-12, lambda x: -x, UNIT),
    "a level that reaches the boundary": Stability(squares, lambda x: -x, UNIT, level=1.0),
    "a level beyond the boundary": Stability(squares, lambda x: -x, UNIT, level=1.05),
    "a rate just too large": Stability(squares, lambda x: -x, UNIT, rate=2.0, found=False),
    "a rate too large by 1e-9": Stability(squares, lambda x: -x, UNIT, rate=2 + 1e-9, level=0.5),
    "no decay at all": Stability(squares, lambda x: torch.stack([x[..., 1], -x[..., 0]], -1), UNIT, rate=1e-9),
    "a field moved by 1e-9": Stability(quadratic, partial(pendulum, offset=1e-9)),
    "a field moved by 1e-300": Stability(squares, lambda x: 1e-300 - x, UNIT),
    "an equilibrium moved by 1e-9": Stability(quadratic, pendulum, at=(1e-9, 0.0)),
    "too little torque": Stability(quadratic, partial(pendulum, limit=0.5), level=4.0),
    "a gradient that lies": Stability(_half_gradient, pendulum),
    "a field through numpy": Stability(squares, _through_numpy, UNIT, refused=True),
    "a counterexample in a box of width 1e-6": Stability(squares, _narrow_bump, UNIT, level=0.5, found=False),
    "one side of a kink at the equilibrium": Stability(squares, _one_sided, UNIT, found=False),
    "one side of a kink at the equilibrium, below a level": Stability(squares, _one_sided, UNIT, level=1e-6),
    "a thin layer above a kink of V": Stability(_kinked_value, _pushed_up, UNIT, level=0.9),
    "a limit cycle inside": Stability(
        squares, lambda x: x * (squares(x)[..., None] - 0.25), Box([-2.0, -2.0], [2.0, 2.0]), rate=0.1, level=0.3
    ),
    "a saddle": Stability(squares, lambda x: torch.stack([-x[..., 0], 0.01 * x[..., 1]], -1), UNIT),
    "a quotient that is undefined inside": Stability(
        squares, lambda x: -x + 0.0 / (x[..., :1] - 0.25), UNIT, level=0.5, found=False
    ),
    "a quotient that is undefined at the equilibrium": Stability(
        squares, lambda x: -x + (x / x[..., :1] - x / x[..., :1]), UNIT, refused=True, found=False
    ),
    "a clipped copy of the state through numpy": Stability(squares, _clipped_in_place, UNIT, rate=1.9, refused=True),
    "a small unit through numpy": Stability(
        squares, _sign_through_numpy, Box([-1e-10, -1e-10], [1e-10, 1e-10]), refused=True
    ),
    "a field written through out=, seen through an earlier view": Stability(
        squares, _behind_a_view, UNIT, level=0.99985, refused=True
    ),
    "a field in a parameter made of the state": Stability(squares, _in_a_parameter, UNIT, level=0.99985, refused=True),
    **{
        f"a sliver through {name}": Stability(
            squares, partial(_unless, reads=reads), UNIT, level=0.99985, refused=True, found=False
        )
        for name, reads in {
            "apply_": _applied,
            "map_": _mapped,
            "print": _printed,
            "a hook": _hooked,
            "a singular matrix": _singular,
        }.items()
    },
    "V that jumps up where it is rounded": Stability(_dented, lambda x: -x, LINE, level=0.4, found=False),
    **{
        f"an entry written through one of two in its place, by {name}": Stability(
            squares, partial(_written_twice, write=write), LINE, refused=True
        )
        for name, write in (("an index", _put), ("masked_fill_", lambda y, mask: y.masked_fill_(mask, 5.0)))
    },
    "V of an angle wrapped too early": Stability(
        lambda x: squares(torch.remainder(x + 0.5, 1.0) - 0.5), lambda x: -x, LINE, level=0.2
    ),
    "V less a kink": Stability(_less_a_kink, lambda x: -x, UNIT, rate=0.01, level=0.2),
    "V of another value at a step": Stability(_another_value_at_the_step, lambda x: -x, UNIT, refused=True),
    "V of the wrong shape for the loop": Stability(
        partial(quadratic, factor=torch.diag(torch.tensor([1.0, 30.0], dtype=torch.float64)) + 0 * FACTOR), pendulum
    ),
}


@dataclass(frozen=True)
class Claimed:
    """A condition of any kind about a system inside a box: false."""

    condition: Any
    system: Any
    box: Box = UNIT
    level: float | None = None
    found: bool = True


def _wedge(x: Tensor) -> Tensor:
    """h = x₁ - |x₂|: {h >= 0} is a wedge with its tip at the origin."""
    return x[..., 0] - x[..., 1].abs()


def _norm_one(x: Tensor) -> Tensor:
    return x.abs().sum(-1)


def _sheared(x: Tensor) -> Tensor:
    """|x|₁ is 1.1 times as large after (0, 1)."""
    return torch.stack([0.9 * x[..., 0] + 0.3 * x[..., 1], 0.8 * x[..., 1]], -1)


_THIRD = exact("1/3")


def _rotated(x: Tensor, angle: float) -> Tensor:
    """x⁺ = 0.99 x turned by an angle: |x|₁ can grow though |x|₂ falls."""
    c, s = np.cos(angle), np.sin(angle)
    return 0.99 * torch.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], -1)


def _spike(x: Tensor) -> Tensor:
    """1 at x₁ = 0.3, 0 for |x₁ - 0.3| >= 5e-7."""
    return torch.relu(1 - 2e6 * torch.abs(x[..., :1] - 0.3))


def _turn(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -x[..., 0]], -1)


def _pushed_oscillator(x: Tensor, d: Tensor, share: float) -> Tensor:
    """A damped spring under a force: d, or one that is largest in the middle of |d| <= 2."""
    force = d if share == 1 else 1.01 * (1 - d.square() / share)
    return torch.cat([x[..., 1:], -6 * x[..., :1] - 5 * x[..., 1:] + force], -1)


def _plant(f: Function, gains: tuple[Function | float, ...], low: float = -1.0, high: float = 1.0) -> System:
    """x' = f(x) + g(x) u with one control in [low, high], and the entries of g."""

    def g(x: Tensor) -> Tensor:
        parts = [gain(x) if callable(gain) else torch.full_like(x[..., 0], gain) for gain in gains]
        return torch.stack(parts, -1).unsqueeze(-1)

    state = [Quantity(f"x{i}", "1") for i in range(len(gains))]
    return System(f, g, state=state, control=[Quantity("u", "1")], limits=Box([low], [high]))


def _shaken_plant(f: Callable[..., Tensor], disturbance: Box, g: Callable[..., Tensor] | None = None) -> System:
    """x' = f(x, d) + g(x, d) u, one number each, |u| <= 1; g is 1 if not given."""

    def push(x: Tensor, d: Tensor) -> Tensor:
        return (torch.ones_like(x) if g is None else g(x, d)).unsqueeze(-1)

    one, other = [Quantity("x", "1")], [Quantity("u", "1")]
    return System(f, push, state=one, control=other, limits=Box([-1.0], [1.0]), disturbance=disturbance)


def _strength(low: float, high: float) -> System:
    """x' = d u with d in [low, high]."""
    state, control = [Quantity("x", "1")], [Quantity("u", "1")]
    box = Box([low], [high])
    return System(lambda x, d: 0 * x, lambda x, d: d[..., None], state=state, control=control, disturbance=box)


def _ellipse(x: Tensor, d: Tensor) -> Tensor:
    """(3 e^d x₂, -3 e^{-d} x₁) - x / 10: half a turn takes π/3 for every constant d; a quarter grows x by e^{|d|}."""
    turn = torch.stack([3 * torch.exp(d[..., 0]) * x[..., 1], -3 * torch.exp(-d[..., 0]) * x[..., 0]], -1)
    return turn - exact("0.1") * x


_QUARTERS = System(
    _ellipse,
    lambda x, d: torch.zeros_like(x).unsqueeze(-1),
    state=[Quantity("x1", "1"), Quantity("x2", "1")],
    control=[Quantity("u", "1")],
    disturbance=Box([-1.0], [1.0]),
)

_HALVES_GAIN = torch.tensor([[-0.5, 1, 0, 0], [0, -1, 0, 0], [2, -4, -1, 0], [-6, -4, 0, -1]], dtype=torch.float64)


def _driven(x: Tensor, d: Tensor) -> Tensor:
    """Held with its gain, x₂ over a period is a multiple of t (t - 1/2) (t - 1): of mean zero, but not with d = ±8."""
    return torch.stack([0 * x[..., 0], d[..., 0] * x[..., 2], -6 * x[..., 3], 8 * x[..., 0]], -1)


def _uneven(x: Tensor) -> Tensor:
    return (x.square() * torch.tensor([0.25, 1.0, 2.0**10, 2.0**14], dtype=torch.float64).to(x)).sum(-1)


_HALVES = System(
    _driven,
    lambda x, d: torch.eye(4, dtype=x.dtype).expand(*x.shape[:-1], 4, 4),
    state=[Quantity(f"x{i}", "1") for i in range(4)],
    control=[Quantity(f"u{i}", "1") for i in range(4)],
    disturbance=Box([-8.0], [8.0]),
)

KINDS: dict[str, Claimed] = {
    "a field that jumps outward on the face": Claimed(
        StayWithin(LINE), lambda x: 0.5 - torch.remainder(x, 1.0), LINE, found=False
    ),
    "h that jumps below zero, never along the field": Claimed(
        BarrierInvariance(lambda x: 0.5 - torch.floor(x[..., 0]), 1.0),
        lambda x: 1 - x / 4,
        Box([-1.5], [1.5]),
        found=False,
    ),
    "h that jumps below zero, on the boundary": Claimed(
        NagumoInvariance(lambda x: 0.5 - torch.floor(x[..., 0])), lambda x: 1 - x / 4, Box([-1.5], [1.5]), found=False
    ),
    "discrete: V that jumps up where it is rounded": Claimed(
        DiscreteDecrease(_dented, 0.01), DiscreteMap(lambda x: 0.9 * x), LINE, level=0.4
    ),
    "discrete: a map that leaves from single points, where 2x - 1/2 is whole": Claimed(
        DiscreteDecrease(squares, 0.1),
        DiscreteMap(lambda x: 0.5 * x + 5 * _whole(2 * x - 0.5)),
        LINE,
        level=0.3,
        found=False,
    ),
    "discrete: kappa at equality": Claimed(
        DiscreteDecrease(squares, exact("0.19")), DiscreteMap(lambda x: 0.9 * x), found=False
    ),
    "discrete: kappa too large by 1e-9": Claimed(
        DiscreteDecrease(squares, exact("0.190000001")), DiscreteMap(lambda x: x * exact("0.9")), level=0.5
    ),
    "discrete: a spike of width 1e-6": Claimed(
        DiscreteDecrease(squares, 0.1), DiscreteMap(lambda x: 0.5 * x + 0.9 * _spike(x)), level=0.9, found=False
    ),
    "discrete: the next state leaves the box": Claimed(
        DiscreteDecrease(lambda x: x[..., 0].square() + 18 * x[..., 1].square(), exact("0.3")),
        DiscreteMap(lambda x: torch.stack([-3 * x[..., 1], x[..., 0] / 9], -1)),
        level=2.1,
    ),
    "discrete: an equilibrium moved by 1e-300": Claimed(
        DiscreteDecrease(squares, 0.1), DiscreteMap(lambda x: 0.5 * x + 1e-300)
    ),
    "discrete: one side of a kink": Claimed(
        DiscreteDecrease(squares, 0.1), DiscreteMap(lambda x: 0.5 * x + 0.6 * torch.relu(x)), found=False
    ),
    "discrete: a one-norm under a turn": Claimed(
        DiscreteDecrease(_norm_one, 0.001), DiscreteMap(partial(_rotated, angle=0.1))
    ),
    "discrete: a disturbance too large by 1e-3": Claimed(
        DiscreteDecrease(squares, 0.1), DiscreteMap(lambda x, d: d * x, Box([0.0], [0.95])), found=False
    ),
    "a one-norm under an oscillator": Claimed(ExponentialStability(_norm_one, 0.001), _turn),
    "a one-norm that grows on one ray": Claimed(
        ExponentialStability(_norm_one, 0.1),
        lambda x: torch.stack([-x[..., 0], -x[..., 1] + 2 * torch.relu(x[..., 1])], -1),
    ),
    "a one-norm that grows in a cone": Claimed(ExponentialStability(_norm_one, 0.01), lambda x: _sheared(x) - x),
    "a one-norm that grows in a cone around a state that is no float": Claimed(
        ExponentialStability(lambda x: _norm_one(x - _THIRD), 0.01, at=(_THIRD, _THIRD)),
        lambda x: _sheared(x - _THIRD) - (x - _THIRD),
    ),
    "a one-norm whose rate is too large by 1e-6": Claimed(
        ExponentialStability(_norm_one, exact("0.5000005")),
        lambda x: torch.stack([-x[..., 0] - x[..., 1] / 2, x[..., 0] / 2 - x[..., 1]], -1),
    ),
    "a one-norm that grows for some d": Claimed(
        ExponentialStability(_norm_one, 0.01),
        Disturbed(lambda x, d: torch.stack([-x[..., 0] + d[..., 0] * x[..., 1], -x[..., 1]], -1), Box([0.0], [1.01])),
    ),
    "a one-norm under a field that bends at the equilibrium": Claimed(
        ExponentialStability(_norm_one, 0.01),
        lambda x: torch.stack([-x[..., 0] + 1.5 * torch.relu(x[..., 1] - 3 * x[..., 0].abs()), -x[..., 1]], -1),
    ),
    "discrete: a one-norm that grows in a cone": Claimed(DiscreteDecrease(_norm_one, 0.01), DiscreteMap(_sheared)),
    "discrete: a one-norm that grows in a cone, below a level": Claimed(
        DiscreteDecrease(_norm_one, 0.01), DiscreteMap(_sheared), level=1e-9
    ),
    "discrete: a max norm whose kappa is too large by 1e-6": Claimed(
        DiscreteDecrease(lambda x: x.abs().amax(-1), exact("0.2500005")),
        DiscreteMap(lambda x: torch.stack([x[..., 0] / 2 - x[..., 1] / 4, x[..., 0] / 4 + x[..., 1] / 2], -1)),
    ),
    "discrete: a one-norm that grows for some d": Claimed(
        DiscreteDecrease(_norm_one, 0.01),
        DiscreteMap(
            lambda x, d: torch.stack([x[..., 0] / 2, x[..., 1] / 2 + d[..., 0] * x[..., 0]], -1), Box([0.0], [0.5])
        ),
    ),
    "a parameter interval too wide": Claimed(
        ExponentialStability(squares, exact("0.1")), Disturbed(lambda x, d: -d * x, Box([0.04], [1.0])), level=0.5
    ),
    "a disturbance at the equilibrium": Claimed(
        ExponentialStability(squares, 0.1),
        Disturbed(lambda x, d: -x + 1e-12 * d, Box([-1.0, -1.0], [1.0, 1.0])),
        found=False,
    ),
    "an ultimate bound below what the disturbance allows": Claimed(
        UltimateBound(squares, 0.0199, 0.5), Disturbed(lambda x, d: -x + d, Box([-0.1, -0.1], [0.1, 0.1])), found=False
    ),
    "an ultimate bound across a limit cycle": Claimed(
        UltimateBound(squares, 0.1, 0.5), lambda x: x * (0.25 - squares(x))[..., None]
    ),
    "an ultimate bound whose outer set leaves the box": Claimed(UltimateBound(squares, 0.1, 1.0), lambda x: -x),
    "a discrete ultimate bound left again": Claimed(
        UltimateBound(lambda x: x[..., 0].square(), 0.039, 0.5),
        DiscreteMap(lambda x, d: x / 2 + d, Box([-0.1], [0.1])),
        LINE,
    ),
    "a barrier with a kink where one side fails": Claimed(
        BarrierInvariance(_wedge, 1.0), lambda x: torch.stack([0 * x[..., 0] + 0.5, 0 * x[..., 0] + 1.0], -1)
    ),
    "Nagumo with a kink where one side fails": Claimed(
        NagumoInvariance(_wedge), lambda x: torch.stack([0 * x[..., 0] + 0.5, 0 * x[..., 0] + 1.0], -1)
    ),
    "Nagumo along the boundary": Claimed(NagumoInvariance(lambda x: 0.25 - squares(x)), _turn, found=False),
    "Nagumo where grad h vanishes": Claimed(NagumoInvariance(lambda x: (x[..., 0] - 0.5) ** 3), lambda x: 0 * x + 1.0),
    "a barrier that the disturbance crosses": Claimed(
        BarrierInvariance(lambda x: 0.25 - squares(x), 1.0),
        Disturbed(lambda x, d: -x + d, Box([-0.51, 0.0], [0.51, 0.001])),
    ),
    "a barrier crossed in a spike": Claimed(
        BarrierInvariance(lambda x: 0.5 - x[..., 1], 1.0),
        lambda x: torch.cat([-x[..., :1], -x[..., 1:] + 3 * _spike(x)], -1),
        found=False,
    ),
    "a barrier whose set leaves the box": Claimed(
        BarrierInvariance(lambda x: 0.5 - x[..., 0], 1.0), lambda x: torch.stack([-x[..., 0], x[..., 1]], -1)
    ),
    "a barrier under a switch that pushes out on one side": Claimed(
        BarrierInvariance(lambda x: 0.5 - x[..., 0], 1.0),
        lambda x: torch.stack([torch.where(x[..., 1] > 0.25, 2.0 + 0 * x[..., 0], -x[..., 0]), -x[..., 1]], -1),
    ),
    "a chain with rates too small": Claimed(
        HighOrderInvariance(lambda x: 0.25 - x[..., 0].square(), (0.5, 0.5)),
        lambda x: torch.stack([x[..., 1], -6 * x[..., 0] - 5 * x[..., 1]], -1),
        Box([-1.0, -0.8], [1.0, 0.8]),
    ),
    "a chain for a half space whose box is left": Claimed(
        HighOrderInvariance(lambda x: 0.5 - x[..., 0], (2.0, 3.0)),
        lambda x: torch.stack([x[..., 1], -6 * x[..., 0] - 5 * x[..., 1]], -1),
    ),
    **{
        f"a chain under a force that is too large, {name}": Claimed(
            HighOrderInvariance(lambda x: 0.25 - x[..., 0].square(), (2.5, 2.5)),
            Disturbed(partial(_pushed_oscillator, share=share), Box([low], [high])),
            Box([-1.0, -0.8], [1.0, 0.8]),
        )
        for name, share, low, high in (("by 1 %", 1.0, -0.5, 1.01), ("in the middle of D", 4.0, -2.0, 2.0))
    },
    "a box left through a corner": Claimed(StayWithin(UNIT), _turn),
    "a box left through a sliver of a face": Claimed(
        StayWithin(UNIT), lambda x: torch.cat([-x[..., :1], -x[..., 1:] + 3 * _spike(x)], -1)
    ),
    "a control: too small": Claimed(ExponentialStability(squares, 0.5), _plant(lambda x: x, (1.0,)), LINE, level=0.7),
    "a control: too small by a rounding": Claimed(  # 5|x|/4 < 1, so the level is 16/25
        ExponentialStability(squares, 0.5), _plant(lambda x: x, (1.0,)), LINE, level=0.64, found=False
    ),
    "a control: the level touches the box": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: 0 * x, (1.0,)), LINE, level=1.0
    ),
    "a control: none holds the equilibrium": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: x + 2.0, (1.0,)), LINE, level=0.1
    ),
    "a control: the one at rest missed by 1e-12": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: -x, (1.0,), 1e-12, 1.0), LINE, level=0.1
    ),
    "a control: a mode out of reach": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: x, (1.0, 0.0)), UNIT, level=0.5
    ),
    "a control: none at one state": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: x, (lambda x: 10 * (x[..., 0] - 0.3),)), LINE, level=0.2
    ),
    "a control: none in a sliver of width 1e-6": Claimed(
        ExponentialStability(squares, 0.5),
        _plant(lambda x: x, (lambda x: 1 - _spike(x)[..., 0],)),
        LINE,
        level=0.2,
        found=False,
    ),
    "a control: one side of a kink is too strong": Claimed(
        ExponentialStability(squares, 0.5), _plant(lambda x: 3 * torch.relu(x), (1.0,)), LINE, level=0.2
    ),
    "a control: it switches its sign": Claimed(
        ExponentialStability(squares, 0.5),
        _plant(lambda x: x, (lambda x: torch.where(x[..., 0] > 0.3, -1.0, 1.0 + 0 * x[..., 0]),)),
        LINE,
        level=0.2,
        found=False,
    ),
    "a control: its effect is undefined at one state": Claimed(
        ExponentialStability(squares, 0.5),
        _plant(lambda x: -x, (lambda x: 1e-3 / (x[..., 0] - 0.25),)),
        LINE,
        level=0.2,
        found=False,
    ),
    "a control: V and h want opposite ones": Claimed(
        (ExponentialStability(squares, 0.5), BarrierInvariance(lambda x: x[..., 0] - 0.25, 0.1)),
        _plant(lambda x: 0 * x, (1.0,)),
        LINE,
        level=0.5,
    ),
    "a control: two barriers want opposite ones": Claimed(
        (
            BarrierInvariance(lambda x: 0.25 - x[..., 0].square(), 1.0),
            BarrierInvariance(lambda x: x[..., 0] + 0.25, 0.0),
            BarrierInvariance(lambda x: 0.25 - x[..., 0], 0.0),
        ),
        _plant(lambda x: 0 * x, (1.0,)),
        LINE,
    ),
    "a control: the barrier's set meets the box": Claimed(
        BarrierInvariance(lambda x: 0.5 - x[..., 1], 1.0), _plant(lambda x: 0 * x, (0.0, 1.0))
    ),
    "a control: a barrier that it reaches through the speed alone": Claimed(
        BarrierInvariance(lambda x: 0.5 - x[..., 0].square() - 0.01 * x[..., 1].square(), 0.5),
        _plant(lambda x: torch.stack([x[..., 1], 0 * x[..., 0]], -1), (0.0, 1.0)),
        Box([-1.0, -8.0], [1.0, 8.0]),
    ),
    "a control: too small for the worst parameter": Claimed(  # (d + 1/4) |x| < 1
        ExponentialStability(squares, 0.5), _shaken_plant(lambda x, d: d * x, Box([0.5], [1.0])), LINE, level=0.66
    ),
    "a control: one for every disturbance, none for all": Claimed(
        (BarrierInvariance(lambda x: 0.1 - x[..., 0], 1.0), BarrierInvariance(lambda x: 0.1 + x[..., 0], 1.0)),
        _shaken_plant(lambda x, d: 0.5 * d + 0 * x, Box([-0.21], [0.21])),
        LINE,
    ),
    "a control: one for every disturbance, as its gain has a sign that is not known": Claimed(
        ExponentialStability(squares, 0.5),
        _shaken_plant(lambda x, d: x + 0 * d, Box([-0.5], [1.0]), lambda x, d: torch.where(d > 0, d + 1, d - 1)),
        LINE,
        level=0.2,
        found=False,
    ),
    "a control: no gain at one value of the disturbance": Claimed(
        ExponentialStability(squares, 0.5),
        _shaken_plant(lambda x, d: x + 0 * d, Box([-0.5], [1.0]), lambda x, d: (d - 0.3).square() + 0 * x),
        LINE,
        level=0.2,
        found=False,
    ),
    "a control: too small for a force that is largest inside of D": Claimed(
        BarrierInvariance(lambda x: 0.25 - squares(x), 1.0),
        _shaken_plant(lambda x, d: 1.3 * (1 - (2 * d - 0.5).square()) + 0 * x, Box([-0.5], [1.0])),
        LINE,
        found=False,
    ),
    "a control: a force at the equilibrium": Claimed(
        ExponentialStability(squares, 0.5), _shaken_plant(lambda x, d: d - x, Box([-1e-9], [1e-9])), LINE, level=0.2
    ),
    "a control: a sliver of D in which it is too small": Claimed(
        BarrierInvariance(lambda x: 0.25 - squares(x), 1.0),
        _shaken_plant(lambda x, d: 1.3 * _spike(d) + 0 * x, Box([-0.5], [1.0])),
        LINE,
        found=False,
    ),
    "a period too long by 1 %": Claimed(  # (1 - T)² < 1 - T/2 for T < 3/2
        ExponentialStability(squares, 0.5),
        ClosedLoop(_plant(lambda x: 0 * x, (1.0,)), lambda x: -x, period=1.515),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held control whose strength may be too great by 1 %": Claimed(  # (1 - 3 T / 2)² < 1 - T / 2 for T < 10/9
        ExponentialStability(squares, 0.5),
        ClosedLoop(_strength(0.5, 1.5), lambda x: -x, period=1.1223),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held control whose sign the disturbance may turn": Claimed(
        ExponentialStability(squares, 0.001),
        ClosedLoop(_strength(-1e-3, 1.0), lambda x: -x, period=0.25),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held control with a disturbance at the equilibrium": Claimed(
        ExponentialStability(squares, 0.5),
        ClosedLoop(_strength(0.5, 1.5), lambda x: 1e-12 - x, period=0.25),
        LINE,
        level=0.9,
        found=False,
    ),
    "a hold at which each constant disturbance is harmless, but not one that switches": Claimed(
        ExponentialStability(squares, 0.05),
        ClosedLoop(_QUARTERS, lambda x: 0 * x[..., :1], period=float(np.pi) / 3),
        level=0.5,
        found=False,
    ),
    "a hold at whose half time the disturbance changes sides, with what it drives": Claimed(
        ExponentialStability(_uneven, 0.05),
        ClosedLoop(_HALVES, lambda x: x @ _HALVES_GAIN.T.to(x), period=1.0),
        Box([-(2.0**-9)] * 4, [2.0**-9] * 4),
        level=2e-7,
        found=False,
    ),
    "a held one-norm: a period too long by 1e-6": Claimed(  # |1 - T| < 1 - T / 2 for T < 4/3
        ExponentialStability(_norm_one, 0.5),
        ClosedLoop(_plant(lambda x: 0 * x, (1.0,)), lambda x: -x, period=4 / 3 * (1 + 1e-6)),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held one-norm: a control too strong on one side of its kink": Claimed(  # x(T) = 3 x / 10, but -x for x > 0
        ExponentialStability(_norm_one, 0.001),
        ClosedLoop(_plant(lambda x: 0 * x, (1.0,)), lambda x: -x - 13 / 7 * torch.relu(x), period=0.7),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held one-norm: a rate too large by 1e-6": Claimed(  # |x(T)|_1 <= exp(-T) (cos T + sin T) |x|_1
        ExponentialStability(_norm_one, (1 - np.exp(-0.5) * (np.cos(0.5) + np.sin(0.5))) / 0.5 * (1 + 1e-6)),
        ClosedLoop(_plant(lambda x: _turn(x) - x, (0.0, 0.0)), lambda x: 0 * x[..., :1], period=0.5),
        level=0.9,
        found=False,
    ),
    "a held one-norm: a strength too great by 1e-6": Claimed(  # T m - 1 < 1 - T / 5 for m < 19/5, T = 1/2
        ExponentialStability(_norm_one, exact("0.2")),
        ClosedLoop(_strength(0.5, 3.8 * (1 + 1e-6)), lambda x: -x, period=0.5),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held one-norm: a strength too small by 1e-6": Claimed(
        ExponentialStability(_norm_one, exact("0.2")),
        ClosedLoop(_strength(0.2 * (1 - 1e-6), 1.5), lambda x: -x, period=0.5),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held one-norm: growth along one ray": Claimed(
        ExponentialStability(_norm_one, 0.001),
        ClosedLoop(
            _plant(lambda x: torch.stack([-x[..., 0], -x[..., 1] + 2 * torch.relu(x[..., 1])], -1), (0.0, 0.0)),
            lambda x: 0 * x[..., :1],
            period=0.25,
        ),
        level=0.9,
        found=False,
    ),
    "a held norm under a disturbance that switches": Claimed(
        ExponentialStability(lambda x: torch.linalg.vector_norm(x, dim=-1), 0.05),
        ClosedLoop(_QUARTERS, lambda x: 0 * x[..., :1], period=float(np.pi) / 3),
        level=0.5,
        found=False,
    ),
    "a held one-norm: an equilibrium moved by 1e-300": Claimed(
        ExponentialStability(_norm_one, 0.5),
        ClosedLoop(_plant(lambda x: 0 * x, (1.0,)), lambda x: 1e-300 - x, period=0.25),
        LINE,
        level=0.9,
        found=False,
    ),
    "a held one-norm less a kink beside the equilibrium": Claimed(  # V is negative at x = 1e-3
        ExponentialStability(lambda x: _norm_one(x) - 2 * torch.relu(1e-3 - (x[..., 0] - 1e-3).abs()), 0.001),
        ClosedLoop(_plant(lambda x: 0 * x, (1.0,)), lambda x: -x, period=0.25),
        LINE,
        level=0.9,
        found=False,
    ),
    "a conjunction with one false part": Claimed(
        (ExponentialStability(squares, 1.9), StayWithin(UNIT), BarrierInvariance(lambda x: x[..., 0] - 0.5, 0.1)),
        lambda x: -x,
    ),
}

_changed = exact("1").tensor()
_changed.sub_(5e-10)

# margin, box, side conditions: margin > 0 on the box where every side condition is <= 0; false.
POSITIVITY: dict[str, tuple[Function, Box, tuple[Function, ...]]] = {
    "zero at one point": (lambda x: x.square().sum(-1), UNIT, ()),
    "negative at one point of width 1e-6": (
        lambda x: 1e-3 - torch.relu(1 - 2e6 * torch.abs(x[..., 0] - 0.3)),
        UNIT,
        (),
    ),
    "zero at a corner": (lambda x: 2 - x.sum(-1), UNIT, ()),
    "below by one rounding": (lambda x: torch.abs(x[..., 0]) - 1e-17, UNIT, ()),
    "a side condition that leaves a point": (lambda x: -x[..., 0], UNIT, (lambda x: x[..., 0].square(),)),
    "a side condition that leaves an edge": (lambda x: 1 - x[..., 0], UNIT, (lambda x: 1 - x[..., 0],)),
    "an exact number changed in place": (lambda x: (_changed - 1 + 1e-10) + 1e-12 * x[..., 0], Box([0.0], [1.0]), ()),
    "an integer in a row of states": (
        lambda x: (
            1e-12
            + torch.cat([x, torch.ones(*x.shape[:-1], 1, dtype=torch.long)], -1)
            @ torch.tensor([-1.0, 1.0], dtype=torch.float64)
        ),
        Box([1 - 1e-10], [1 + 1e-10]),
        (),
    ),
    "a whole number inside": (lambda x: 0.5 - _whole(4 * x[..., 0]), Box([0.2], [0.4]), ()),
    "a rounded half at the end": (lambda x: 1.5 - torch.round(x[..., 0]), Box([1.0], [1.5]), ()),
    "a pole inside": (lambda x: 1 / x[..., 0] + 100, UNIT, ()),
}
