"""A problem with derivatives of every kind, and how far two ways to them differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ctrlnet_plugins.integrators as plugins
import torch
from torch import Tensor

from ctrlnet import odeint, timed

D = torch.float64


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def method_of(name: str) -> Any:
    if name == "McCallumFoster":
        return plugins.McCallumFoster("rk4", 0.6)
    found = getattr(plugins, name)
    return found() if isinstance(found, type) else found


class Problem:
    """x' of a network in a closure, a leaf beside it and a tensor made from another one."""

    def __init__(self, dtype: torch.dtype = D) -> None:
        self.x0 = numbers(4, 3, seed=1).to(dtype).requires_grad_()
        self.inner, self.outer = (0.8 * numbers(3, 3, seed=k).to(dtype) for k in (2, 3))
        self.skew, self.seed = numbers(3, 3, seed=4).to(dtype), numbers(3, 3, seed=5).to(dtype)
        self.all = [self.x0, self.inner, self.outer, self.skew, self.seed]
        for one in self.all:
            one.requires_grad_()

    def field(self, time: float = 0.3) -> Any:
        made = (self.seed @ self.seed).sin()  # no leaf: the output of another network
        pull = self.skew - self.skew.T
        return timed(lambda t, x: torch.tanh(x @ self.inner) @ self.outer + x @ pull + (time * t).sin() * (x @ made))

    def gradients(self, loss: Callable[[Any], Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(loss(self.field()), self.all)


def weighed(x: Tensor) -> Tensor:
    return (x.nan_to_num() * torch.arange(x.numel()).to(x).reshape(x.shape).cos()).sum() + (
        x[-1].nan_to_num() ** 2
    ).sum()


def gap(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ones, others, strict=True))


def differences(mode: str, t: Any, **options: Any) -> float:
    problem = Problem(options.pop("dtype", D))
    found, wanted = (
        problem.gradients(lambda f, m=m: weighed(odeint(f, problem.x0, t, gradient=m, **options)))  # type: ignore[misc]
        for m in (mode, "backprop")
    )
    return gap(found, wanted)
