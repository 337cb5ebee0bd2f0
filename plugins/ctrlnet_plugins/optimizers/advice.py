"""What in a module or its data is not as the theory of layer-wise steps assumes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ctrlnet_plugins.optimizers.architecture import NORMALISATIONS, layers
from ctrlnet_plugins.optimizers.blocks import matrices, scale

_TOLERANCE = 0.1  # of a size that should be 1
_TWO = 2.0  # factor by which the signal may grow or shrink on its way


class Advice(NamedTuple):
    """Where something is not as assumed, what was found, and what to do."""

    where: str
    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: {self.finding}. {self.advice}."


def advise(module: nn.Module, inputs: Tensor | None = None, targets: Tensor | None = None) -> tuple[Advice, ...]:
    """All advice: on vectors, gains, weights, activations, and with data on inputs, signals and targets."""
    found = [*_vectors(module), *_weights(module), *_activations(module)]
    if inputs is not None:
        found += [*_rows("inputs", inputs, "x", "Divide each row by its root mean square"), *_signals(module, inputs)]
    if targets is not None:
        found += _rows("targets", targets, "y", "Scale the targets, such as one-hot rows by √d_L")
    return tuple(found)


def _vectors(module: nn.Module) -> Iterator[Advice]:
    for name, part in module.named_modules():
        vectors = [key for key, weight in part.named_parameters(recurse=False) if _is_vector(weight)]
        if vectors and isinstance(part, NORMALISATIONS):
            yield Advice(name, "its gain is trainable", "Build it with affine=False or elementwise_affine=False")
        elif vectors:
            yield Advice(
                name, f"a trainable vector ({', '.join(vectors)}), which the published rule does not have",
                "Build the layer with bias=False, or choose bias='block', 'frozen' or 'adamw'",
            )  # fmt: skip


def _is_vector(weight: Tensor) -> bool:
    return weight.requires_grad and weight.ndim < 2


def _weights(module: nn.Module) -> Iterator[Advice]:
    for name, _, weight in layers(module):
        wide = matrices(weight.detach()).to(torch.promote_types(weight.dtype, torch.float32))
        values = torch.linalg.svdvals(wide) / scale(weight.shape)
        low, high = float(values.min()), float(values.max())
        if low < 1 - _TOLERANCE or high > 1 + _TOLERANCE:
            yield Advice(
                name, f"its singular values are {low:.2g} to {high:.2g} times s_k; the theory starts from 1",
                "Call init_weights_() of the optimizer, where drawing the weights anew is meant",
            )  # fmt: skip


def _activations(module: nn.Module) -> Iterator[Advice]:
    normal = torch.randn(1 << 14, generator=torch.Generator().manual_seed(0))
    for name, part in module.named_modules():
        if type(part).__module__ != "torch.nn.modules.activation" or any(True for _ in part.parameters()):
            continue
        gain = float(copy.deepcopy(part).eval()(normal.clone()).square().mean().sqrt())
        if abs(gain - 1) > _TOLERANCE:
            yield Advice(
                name, f"{type(part).__name__} leaves {gain:.2f} of the size of a normal signal",
                f"Multiply its output by {1 / gain:.3g}",
            )  # fmt: skip


def _rows(what: str, rows: Tensor, letter: str, do: str) -> Iterator[Advice]:
    sizes = _sizes(rows)
    low, high = float(sizes.min()), float(sizes.max())
    if low < 1 - _TOLERANCE or high > 1 + _TOLERANCE:
        root = sqrt(rows[0].numel())
        yield Advice(
            what, f"norms are {low * root:.3g} to {high * root:.3g}; the theory has ‖{letter}‖ = √d = {root:.3g}", do
        )


def _sizes(rows: Tensor) -> Tensor:
    """The root mean square of each row of a batch."""
    return rows.detach().double().flatten(1).square().mean(1).sqrt()


def _signals(module: nn.Module, inputs: Tensor) -> Iterator[Advice]:
    """The size of what enters every layer but the first, measured on a copy of the module."""
    twin, sizes = copy.deepcopy(module).eval(), dict[str, float]()

    def watch(name: str) -> Any:
        def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            sizes.setdefault(name, float(arguments[0].double().square().mean().sqrt()))

        return hook

    for name, part, _ in layers(twin):
        part.register_forward_pre_hook(watch(name))
    with torch.no_grad():
        twin(inputs)
    for name, size in list(sizes.items())[1:]:
        if not 1 / _TWO <= size <= _TWO:
            yield Advice(
                name, f"the signal that enters it has size {size:.2g}; the theory has 1",
                "Scale what stands before it: an activation's output, a sum of branches",
            )  # fmt: skip
