"""Small problems that the kit of optimizers solves, and how it takes steps on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.layers import mlp
from ctrlnet.training import requires_closure

Loss = Callable[[nn.Module], Tensor]


def build(optimizer: type[Optimizer], module: nn.Module, **options: Any) -> Optimizer:
    """The optimizer over a module, by default with its own options: by `for_module` where it has one."""
    for_module: Callable[..., Optimizer] | None = getattr(optimizer, "for_module", None)
    if for_module is not None:
        return for_module(module, **options)
    return optimizer(module.parameters(), **options)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Two numbers to one, with biases; not convex in its weights."""
    return mlp([2, 8, 8, 1], seed=0, dtype=dtype)


def linear(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Two numbers to three, one layer: the square loss is convex in its weights."""
    return mlp([2, 3], seed=0, dtype=dtype)


def square_loss(module: nn.Module) -> Tensor:
    """Mean square error of a module's first output against x sin y at fixed points, of the others against y."""
    like = next(module.parameters())
    points = 2 * torch.rand(32, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1
    x, y = points.to(like).unbind(-1)
    outputs = module(points.to(like))
    error = outputs - torch.stack([x * y.sin(), y, y], -1)[:, : outputs.shape[-1]]
    loss: Tensor = error.square().mean()
    return loss


def step(optimizer: Optimizer, evaluate: Callable[[], Tensor]) -> Any:
    """One step on a loss whose gradients `evaluate` leaves with the weights: before it, or in a closure if it asks."""
    if requires_closure(optimizer):
        return optimizer.step(evaluate)  # type: ignore[arg-type]
    evaluate()
    return optimizer.step()


def differentiated(optimizer: Optimizer, module: nn.Module, loss: Loss = square_loss) -> Callable[[], Tensor]:
    """A closure: the loss, after its gradient."""

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            value = loss(module)
            torch.autograd.backward(value)
        return value

    return evaluate


def steps(optimizer: Optimizer, module: nn.Module, count: int, loss: Loss = square_loss) -> list[float]:
    """Take `count` steps; the losses before the first and after the last."""
    first = loss(module).item()
    for _ in range(count):
        step(optimizer, differentiated(optimizer, module, loss))
    return [first, loss(module).item()]


def follow(optimizer: Optimizer, module: nn.Module, gradients: list[list[Tensor]]) -> None:
    """Take a step for each of some given gradients, whatever the weights."""
    for given in gradients:

        def evaluate(given: list[Tensor] = given) -> Tensor:
            for parameter, gradient in zip(module.parameters(), given, strict=True):
                parameter.grad = gradient.clone()
            return torch.zeros(())

        step(optimizer, evaluate)


def random_gradients(module: nn.Module, count: int) -> list[list[Tensor]]:
    """Normal gradients for `count` steps, the same at every call."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(parameter.shape, parameter.dtype) for parameter in module.parameters()]
    return [[torch.randn(shape, generator=generator, dtype=dtype) for shape, dtype in shapes] for _ in range(count)]


def weights(module: nn.Module) -> list[Tensor]:
    """Copies of all parameters."""
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(module: nn.Module, others: list[Tensor]) -> bool:
    """Whether the parameters are equal, bit for bit."""
    return all(map(torch.equal, weights(module), others))


def distance(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference of an entry."""
    return max(float((one.cpu() - other.cpu()).abs().max()) for one, other in zip(some, others, strict=True))
