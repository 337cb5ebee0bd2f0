"""Invariances that an optimizer may claim in its class attribute `claims`, and the experiments that would refute them.

| claim | what it says |
|---|---|
| loss scale | the weights do not depend on a positive factor of the loss |
| sign | no weight changes its sign, and zero stays zero |
| row norms | every row of every matrix keeps its Euclidean norm |
| relative update | a matrix c times as large, with gradients of any other size, moves c times as far |
| rotation | weights and gradients turned by orthogonal matrices, W ↦ Q W Rᵀ and b ↦ Q b, move to the turned weights |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.errors import nearest
from ctrlnet.testing.conformance import Check, Failure, require
from ctrlnet.testing.problems import build, distance, follow, network, random_gradients, square_loss, steps, weights

_ROUNDING = 1e-7  # of the distance moved, in double precision


def claim_checks(optimizer: Any) -> list[Check]:
    """A check for each claim of a class; one that nobody can check fails."""
    claims = getattr(optimizer, "claims", ())
    if isinstance(claims, str) or not all(isinstance(claim, str) for claim in claims):
        return [("claims", _not_names)]
    return [(f"claims {claim}", _CLAIMS.get(claim) or _unknown(claim)) for claim in sorted(claims)]


def _not_names(optimizer: Any) -> str:
    raise Failure(f"claims is {optimizer.claims!r}; give a set of names: {', '.join(_CLAIMS)}")


def _unknown(claim: str) -> Callable[[Any], str]:
    def fail(_: Any) -> str:
        raise Failure(f"there is no claim {claim!r}. {nearest(claim, _CLAIMS)} Known: {', '.join(_CLAIMS)}")

    return fail


def _loss_scale(optimizer: type[Optimizer]) -> str:
    one, other = network(), network()
    start = weights(one)
    steps(build(optimizer, one), one, 10)
    steps(build(optimizer, other), other, 10, lambda module: 1024 * square_loss(module))
    return _agree(weights(one), weights(other), start, "with 1024 times the loss the weights differ")


def _sign(optimizer: type[Optimizer]) -> str:
    module = network()
    built = build(optimizer, module)
    for group in built.param_groups:
        group["lr"] = 1.0  # steps as large as the weights
    before = [weight.sign() for weight in weights(module)]
    follow(built, module, random_gradients(module, 20))
    flips = sum(int((weight.sign() != sign).sum()) for weight, sign in zip(weights(module), before, strict=True))
    require(flips == 0, f"{flips} weights have changed their sign after 20 steps with lr = 1")
    return "no weight changes its sign in 20 steps with lr = 1"


def _row_norms(optimizer: type[Optimizer]) -> str:
    module = network()
    built = build(optimizer, module)
    before = _norms_of_rows(module)
    steps(built, module, 10)
    gap = distance(_norms_of_rows(module), before)
    require(gap <= _ROUNDING, f"the norm of a row has changed by {gap:.1e} in 10 steps")
    return f"the same to {gap:.0e} after 10 steps"


def _norms_of_rows(module: nn.Module) -> list[Tensor]:
    return [weight.norm(dim=1) for weight in weights(module) if weight.ndim == 2]


def _relative_update(optimizer: type[Optimizer]) -> str:
    one, other = network(), network()
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(4)
    gradients = random_gradients(one, 3)
    start = _matrices(one)
    follow(build(optimizer, one), one, gradients)
    follow(build(optimizer, other), other, [[gradient / 128 for gradient in given] for given in gradients])
    quarter = [weight / 4 for weight in _matrices(other)]
    return _agree(_matrices(one), quarter, start, "matrices four times as large do not move four times as far")


def _matrices(module: nn.Module) -> list[Tensor]:
    return [weight for weight in weights(module) if weight.ndim == 2]


def _rotation(optimizer: type[Optimizer]) -> str:
    one, other = network(), network()
    turns = [(_orthogonal(len(weight), 3), _orthogonal(weight[0].numel(), 4)) for weight in one.parameters()]
    turned = [_turn(weight, *turn) for weight, turn in zip(weights(one), turns, strict=True)]
    with torch.no_grad():
        for weight, image in zip(other.parameters(), turned, strict=True):
            weight.copy_(image)
    gradients = random_gradients(one, 3)
    start = weights(one)
    follow(build(optimizer, one), one, gradients)
    images = [[_turn(g, *turn) for g, turn in zip(given, turns, strict=True)] for given in gradients]
    follow(build(optimizer, other), other, images)
    back = [_turn(w, q.mT, r.mT) for w, (q, r) in zip(weights(other), turns, strict=True)]
    return _agree(weights(one), back, start, "turned weights with turned gradients do not move to the turned weights")


def _orthogonal(size: int, seed: int) -> Tensor:
    normal = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q: Tensor = torch.linalg.qr(normal)[0]
    return q


def _turn(weight: Tensor, q: Tensor, r: Tensor) -> Tensor:
    return q @ weight if weight.ndim == 1 else q @ weight @ r.mT


def _agree(some: list[Tensor], others: list[Tensor], start: list[Tensor], otherwise: str) -> str:
    gap, moved = distance(some, others), distance(some, start)
    require(gap <= _ROUNDING * moved, f"{otherwise}: by {gap:.1e}, where they move by {moved:.1e}")
    return f"to {gap / max(moved, 1e-300):.0e} of the distance moved"


_CLAIMS: dict[str, Callable[[Any], str]] = {
    "loss scale": _loss_scale,
    "sign": _sign,
    "row norms": _row_norms,
    "relative update": _relative_update,
    "rotation": _rotation,
}
