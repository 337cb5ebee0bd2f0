"""Weights and gradients drawn for the rules, and a run of an optimizer on given gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

SHAPES = ((5, 7), (5,), (4, 3, 2, 2), (6, 1))
Arrays = list[np.ndarray]


def drawn(steps: int, seed: int = 0) -> tuple[Arrays, list[Arrays]]:
    """Weights of the shapes above, and as many gradients of them: of sizes from 1e-3 to 1e3, some entries zero."""
    generator = np.random.default_rng(seed)
    weights = [generator.normal(size=shape) for shape in SHAPES]
    gradients = []
    for _ in range(steps):
        sizes = 10 ** generator.uniform(-3, 3, len(SHAPES))
        row = [size * generator.normal(size=shape) for size, shape in zip(sizes, SHAPES, strict=True)]
        gradients.append([g * (generator.uniform(size=g.shape) > 0.1) for g in row])
    return weights, gradients


def run(build: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], weights: Arrays, gradients: list[Arrays]):
    """The parameters after one step for every row of gradients, and the optimizer."""
    parameters = [torch.nn.Parameter(torch.tensor(weight)) for weight in weights]
    optimizer = build(parameters)
    for row in gradients:
        for parameter, gradient in zip(parameters, row, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=parameter.dtype)
        optimizer.step()
    return [parameter.detach() for parameter in parameters], optimizer


def gap(weights: list[torch.Tensor], expected: Arrays) -> float:
    """Largest difference."""
    return max(float(np.abs(w.numpy() - e).max()) for w, e in zip(weights, expected, strict=True))
