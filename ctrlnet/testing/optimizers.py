"""The conformance kit of optimizers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.layers import mlp
from ctrlnet.testing.conformance import Report, examine, require, require_contract, resolved

_ROUNDING = 1e-4  # of the distance moved: torch casts states of its own, such as NAdam's products, when it loads them


def check_optimizer(plugin: str | type[Optimizer]) -> Report:
    """Check an optimizer against its contract: a `torch.optim.Optimizer` that trains a network with biases.

    Args:
        plugin: name of an installed optimizer, or the class itself.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("optimizers", plugin)
    first = [("contract", _contract), ("class", _class), ("defaults", _defaults)]
    then = [("descent", _descent), ("single precision", _single), ("determinism", _determinism),
            ("missing gradients", _missing), ("zero gradients", _zero), ("closure", _closure),
            ("learning rate", _rate), ("checkpoint", _checkpoint)]  # fmt: skip
    return examine("optimizers", name, loaded, first, then)


def build(optimizer: type[Optimizer], module: nn.Module) -> Optimizer:
    """The optimizer over a module with default options: by `for_module` where it has one."""
    for_module: Callable[[nn.Module], Optimizer] | None = getattr(optimizer, "for_module", None)
    if for_module is not None:
        return for_module(module)
    return optimizer(module.parameters(), **{})


def _network(dtype: torch.dtype = torch.float64) -> nn.Module:
    return mlp([2, 8, 8, 1], seed=0, dtype=dtype)


def _loss(network: nn.Module) -> Tensor:
    """Mean square error of the network against x sin y at fixed points."""
    dtype = next(network.parameters()).dtype
    points = 2 * torch.rand(32, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1
    x, y = points.to(dtype).unbind(-1)
    error: Tensor = network(points.to(dtype)).squeeze(-1) - x * y.sin()
    return error.square().mean()


def _steps(optimizer: Optimizer, network: nn.Module, count: int) -> list[float]:
    """The losses before each of `count` steps and after the last."""
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = _loss(network)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return [*losses, _loss(network).item()]


def _weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def _same(network: nn.Module, weights: list[Tensor]) -> bool:
    return all(map(torch.equal, _weights(network), weights))


def _contract(optimizer: Any) -> str:
    return require_contract("optimizers", optimizer)


def _class(optimizer: Any) -> str:
    is_class = isinstance(optimizer, type) and issubclass(optimizer, Optimizer)
    require(is_class, f"it is {optimizer!r}; it must be a subclass of torch.optim.Optimizer")
    return "a torch.optim.Optimizer"


def _defaults(optimizer: type[Optimizer]) -> str:
    built = build(optimizer, _network())
    require(isinstance(built, Optimizer), f"for_module returns a {type(built).__name__}, not an optimizer")
    require(all("lr" in group for group in built.param_groups), "a parameter group has no 'lr', which schedulers set")
    return "for_module" if hasattr(optimizer, "for_module") else "built from parameters"


def _descent(optimizer: type[Optimizer]) -> str:
    network = _network()
    losses = _steps(build(optimizer, network), network, 100)
    require(
        losses[-1] < losses[0], f"100 steps with default options take the loss from {losses[0]:.3g} to {losses[-1]:.3g}"
    )
    return f"loss {losses[0]:.3g} to {losses[-1]:.3g} in 100 steps"


def _single(optimizer: type[Optimizer]) -> str:
    network = _network(torch.float32)
    losses = _steps(build(optimizer, network), network, 20)
    kept = all(parameter.dtype == torch.float32 for parameter in network.parameters())
    require(
        kept and losses[-1] < losses[0],
        f"float32 weights: dtype kept: {kept}, loss {losses[0]:.3g} to {losses[-1]:.3g}",
    )
    return "trains float32 weights"


def _determinism(optimizer: type[Optimizer]) -> str:
    first, second = _network(), _network()
    _steps(build(optimizer, first), first, 5)
    _steps(build(optimizer, second), second, 5)
    require(_same(first, _weights(second)), "the same five steps twice give different weights")
    return "same steps, same weights"


def _missing(optimizer: type[Optimizer]) -> str:
    network = _network()
    frozen, *_, idle = network.parameters()
    frozen.requires_grad_(False)
    before = [frozen.detach().clone(), idle.detach().clone()]
    built = build(optimizer, network)
    torch.autograd.backward(_loss(network))
    idle.grad = None
    built.step()
    moved = not (torch.equal(frozen, before[0]) and torch.equal(idle, before[1]))
    require(not moved, "a parameter without a gradient was moved")
    return "left alone"


def _zero(optimizer: type[Optimizer]) -> str:
    network = _network()
    built = build(optimizer, network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(3):
        built.step()
    finite = all(bool(weight.isfinite().all()) for weight in _weights(network))
    require(finite, "gradients of zero give weights that are not finite")
    return "weights stay finite"


def _closure(optimizer: type[Optimizer]) -> str:
    network = _network()
    built, calls = build(optimizer, network), []

    def closure() -> float:
        built.zero_grad()
        loss = _loss(network)
        torch.autograd.backward(loss)
        calls.append(loss.item())
        return calls[-1]

    returned = built.step(closure)
    require(bool(calls), "step(closure) does not call the closure")
    require(
        returned is not None and float(returned) == calls[0], f"step(closure) returns {returned!r}, not the first loss"
    )
    return "evaluated, its loss returned"


def _rate(optimizer: type[Optimizer]) -> str:
    network = _network()
    built = build(optimizer, network)
    for group in built.param_groups:
        group["lr"] = 0.0
    before = _weights(network)
    _steps(built, network, 3)
    require(_same(network, before), "weights move although every group's 'lr' is 0, so schedulers have no effect")
    return "0 stops every weight"


def _checkpoint(optimizer: type[Optimizer]) -> str:
    network = _network()
    built = build(optimizer, network)
    _steps(built, network, 5)
    stored, twin = _weights(network), copy.deepcopy(network)
    resumed = build(optimizer, twin)
    resumed.load_state_dict(copy.deepcopy(built.state_dict()))
    _steps(built, network, 5)
    _steps(resumed, twin, 5)
    moved, gap = _distance(_weights(network), stored), _distance(_weights(network), _weights(twin))
    share = (
        f"training resumed from state_dict differs by {gap:.1e} from training on, which moves weights by {moved:.1e}"
    )
    require(gap <= _ROUNDING * moved, share)
    return "resumes bit for bit" if gap == 0 else f"resumes to within {gap:.0e}"


def _distance(weights: list[Tensor], others: list[Tensor]) -> float:
    return max(float((weight - other).abs().max()) for weight, other in zip(weights, others, strict=True))
