"""The checker alone: leaves per second of processor time on small graphs, and its exact mode against the other.

Proofs of many leaves are of margins that nearly vanish. Agreement is over certificates of several kinds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    Budget,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    NagumoInvariance,
    StayWithin,
    UltimateBound,
    Verdict,
    certify,
    exact,
    prove,
)
from ctrlnet.checker import check_bytes

BOX = Box([-2.0, -2.0], [2.0, 2.0])


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    agree = all(check_bytes(certificate, exact=True).ok for certificate in certificates().values())
    return {
        "leaves a second, polynomial": _rate(_valley(lambda x: x - x**3 / 4)),
        "leaves a second, sine": _rate(_valley(lambda x: torch.sin(2 * x))),
        "exact agrees": float(agree),
    }


def _rate(verdict: Verdict) -> float:
    """The best of five checks."""
    assert verdict.status == "certified", verdict.reason
    best = 0.0
    for _ in range(5):
        started = time.process_time()
        report = check_bytes(verdict.certificate)
        best = max(best, report.leaves / (time.process_time() - started))
    return best


def _valley(bottom: Callable[[Tensor], Tensor]) -> Verdict:
    """(y - f(x))² and a little more, multiplied out, is positive by that little along a curve."""

    def margin(x: Tensor) -> Tensor:
        y, f = x[..., 1], bottom(x[..., 0])
        return y * y - 2 * y * f + f * f + exact("0.00002")

    return prove(margin, BOX, budget=Budget(seconds=600))


def certificates() -> dict[str, bytes]:
    """Of several kinds, about a damped pendulum where nothing else is said."""
    push = Box([-0.1], [0.1])
    pushed = Disturbed(lambda x, d: field(x) + torch.cat([torch.zeros_like(d), d], -1), push)
    euler = DiscreteMap(lambda x: x + 0.1 * field(x))
    norm = ExponentialStability(lambda x: x.abs().sum(-1), exact("0.5"))
    verdicts = {
        "exponential stability": certify(ExponentialStability(V, exact("0.2")), field, BOX),
        "ultimate bound": certify(UltimateBound(V, inner=exact("0.3")), pushed, BOX),
        "discrete decrease": certify(DiscreteDecrease(V, exact("0.02")), euler, BOX),
        "two invariances": certify((BarrierInvariance(h, rate=2), NagumoInvariance(h)), field, BOX),
        "staying within": certify(StayWithin(Box([-1, -1], [1, 1])), lambda x: -torch.tanh(x), BOX),
        "kink of V at x*": certify(norm, lambda x: -x, BOX),
        "positivity": prove(lambda x: torch.exp(-h(x)), BOX),
    }
    assert all(verdict.status == "certified" for verdict in verdicts.values()), verdicts
    return {name: verdict.certificate for name, verdict in verdicts.items()}


def field(x: Tensor) -> Tensor:
    """A damped pendulum, hanging."""
    return torch.stack([x[..., 1], -torch.sin(x[..., 0]) - x[..., 1]], -1)


def V(x: Tensor) -> Tensor:
    return exact("1.5") * x[..., 0] ** 2 + x[..., 0] * x[..., 1] + x[..., 1] ** 2


def h(x: Tensor) -> Tensor:
    return 2 - x[..., 0] ** 2 - x[..., 0] * x[..., 1] - x[..., 1] ** 2
