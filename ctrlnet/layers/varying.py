"""Weights that vary in time: a field of N layers over a duration, and its refinement to 2N."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.systems import Separable, timed
from ctrlnet.systems.fields import Time
from ctrlnet.types import State

Weights: TypeAlias = Mapping[str, Tensor]  # by the names of a layer's parameters


@final
class TimeVarying(nn.Module):
    """x' = f(x; θ(t)) on [0, T], θ(t) given on a grid with intervals of T/N: solve(timed(varying), x0, varying.times).

    "constant": N layers, θ = θ_j on [jT/N, (j+1)T/N). A time less than a thousandth of an interval before a node
    counts as the node, so that rounded times cannot take the layer before. A method that looks ahead, such as rk4,
    sees the next layer at the end of its step and has order 1 across the jump; with "linear" it keeps its order where
    steps end at the nodes.

    "linear": N + 1 layers, one a node, and θ linear between them. Outside [0, T] the first and the last value hold.

    Args:
        layers: fields of one architecture, N or N + 1; their parameters are copied. The same one may be given often:
            [layer] * N starts with constant weights.
        duration: T [s], positive.
        interpolation: "constant" or "linear".

    Attributes:
        intervals: N.
        step: T/N [s].

    Raises:
        UsageError: no layer, one node alone, no such interpolation, a duration that is not positive.
        ShapeError: layers whose parameters differ in name or shape.
    """

    def __init__(self, layers: Sequence[nn.Module], duration: float, interpolation: str = "constant") -> None:
        super().__init__()
        _check_interpolation(interpolation)
        if len(layers) < 1 + (interpolation == "linear"):
            raise UsageError(f"{len(layers)} layers are given; 'constant' needs 1 or more, 'linear' 2 or more.")
        if not (math.isfinite(duration) and duration > 0):
            raise UsageError(f"duration is {duration!r}; give seconds above zero.")
        self.duration, self.interpolation = float(duration), interpolation
        self.intervals = len(layers) - (interpolation == "linear")
        self.step = self.duration / self.intervals
        stacks = {name.replace(".", "/"): nn.Parameter(stack) for name, stack in _stacked(layers)}
        self.stacks = nn.ParameterDict(stacks)
        # in a tuple, since the template's own weights are no parameters of this field: they are always replaced
        self._template = (_Holder(copy.deepcopy(layers[0]).requires_grad_(False)),)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of all layers, by the names of a layer's parameters, (N, ...) or (N + 1, ...)."""
        return {name.replace("/", "."): stack for name, stack in self.stacks.items()}

    @property
    def times(self) -> Tensor:
        """The nodes 0, T/N, ..., T [s], (N + 1,)."""
        return torch.linspace(0, self.duration, self.intervals + 1, dtype=torch.float64)

    def at(self, t: Time) -> dict[str, Tensor]:
        """θ(t) by the names of a layer's parameters."""
        place, last = _shared(t) / self.step, self.intervals - 1
        if self.interpolation == "constant":
            index = _floor(place + 1e-3, last)
            return {name: _at(stack, index) for name, stack in self.weights.items()}
        index = _floor(place, last)
        share = min(max(place - index, 0.0), 1.0) if isinstance(place, float) else (place - index).clamp(0, 1)
        sides = {name: (_at(stack, index), _at(stack, index + 1)) for name, stack in self.weights.items()}
        return {name: low + share * (high - low) for name, (low, high) in sides.items()}

    def forward(self, t: Time, x: State) -> State:
        """x' (..., n) at states (..., n) and one time t for all of them."""
        return self._called(self.at(t), lambda layer: layer(x))

    def separable(self) -> Separable:
        """The field as a Separable, where its layers are: for verlet and symplectic_euler.

        Raises:
            UsageError: they are not.
        """
        if not isinstance(self._template[0].layer, Separable):
            kind = type(self._template[0].layer).__name__
            raise UsageError(f"A {kind} has no velocity and force; give layers such as ctrlnet.HamiltonianLayer.")
        return Separable(timed(self._velocity), timed(self._force))

    def slices(
        self, step: Callable[[Any, Tensor, float], Tensor]
    ) -> Callable[[Mapping[str, Tensor], Tensor, float], Tensor]:
        """The step function that `layer_parallel` wants: many layers at once, each on its own states.

        Args:
            step: (layer, x, h) -> x⁺, such as lambda layer, x, h: x + h * layer(x).

        Raises:
            UsageError: linear weights, of which a layer needs those at its end too.
        """
        if self.interpolation == "linear":
            raise UsageError("slices takes one layer a step; give layers with interpolation='constant'.")

        def batched(weights: Mapping[str, Tensor], x: Tensor, h: float) -> Tensor:
            one = lambda theta, state: self._called(theta, lambda layer: step(layer, state, h))  # noqa: E731
            return torch.vmap(one)(dict(weights), x)

        return batched

    def roughness(self) -> Tensor:
        """½ Σ_j h |(θ_{j+1} - θ_j)/h|², about ½ ∫ |θ'|² dt on every grid: times α, the regulariser in time."""
        squares = [stack.diff(dim=0).square().sum() for stack in self.stacks.values()]
        return torch.stack(squares).sum() / (2 * self.step)

    def prolonged(self) -> TimeVarying:
        """The same θ(t) on a grid twice as fine, with 2N intervals: where training at the next level begins."""
        fine = copy.deepcopy(self)
        fine.intervals, fine.step = 2 * self.intervals, self.step / 2
        for name, stack in self.stacks.items():
            fine.stacks[name] = nn.Parameter(prolong(stack.detach(), self.interpolation), stack.requires_grad)
        return fine

    def _velocity(self, t: Time, p: Tensor) -> Tensor:
        return self._called(self.at(t), lambda layer: layer.velocity(t, p))

    def _force(self, t: Time, q: Tensor) -> Tensor:
        return self._called(self.at(t), lambda layer: layer.force(t, q))

    def _called(self, weights: Weights, function: Callable[[Any], Tensor]) -> Tensor:
        """function(layer), the layer having these weights."""
        named = {f"layer.{name}": weight for name, weight in weights.items()}
        result: Tensor = torch.func.functional_call(self._template[0], named, (function,))
        return result

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TimeVarying:
        # what does not vary follows to another device or dtype
        self._template[0]._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class _Holder(nn.Module):
    """Hands its layer to a function, since `functional_call` replaces weights within a module's own call only."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, function: Callable[[Any], Tensor]) -> Tensor:
        return function(self.layer)


def prolong(values: Tensor, interpolation: str) -> Tensor:
    """Values on a grid twice as fine, that stand for the same function of time.

    Args:
        values: "constant": one an interval, (N, ...) to (2N, ...); "linear": one a node, (N + 1, ...) to (2N + 1, ...).
        interpolation: "constant" or "linear".

    Source: Haber, Ruthotto, Holtham and Jun, Learning across scales, 2018.
    """
    _check_interpolation(interpolation)
    if interpolation == "constant":
        return values.repeat_interleave(2, 0)
    middles = (values[:-1] + values[1:]) / 2
    return torch.cat([torch.stack([values[:-1], middles], 1).flatten(0, 1), values[-1:]])


def _stacked(layers: Sequence[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    """The trainable parameters by name, those of all layers stacked."""
    first = {name: one.shape for name, one in layers[0].named_parameters()}
    for layer in layers:
        if {name: one.shape for name, one in layer.named_parameters()} != first:
            raise ShapeError("The layers' parameters differ in name or shape; give layers of one architecture.")
    parameters = [dict(layer.named_parameters()) for layer in layers]
    trainable = [name for name, one in parameters[0].items() if one.requires_grad]
    if not trainable:
        raise UsageError("The layers have no trainable parameters, so nothing in them can vary.")
    for name in trainable:
        yield name, torch.stack([one[name].detach() for one in parameters])


def _check_interpolation(name: str) -> None:
    if name not in ("constant", "linear"):
        raise UsageError(f"interpolation is {name!r}; give 'constant' or 'linear'.")


def _shared(t: Time) -> Time:
    if not isinstance(t, Tensor):
        return float(t)
    if t.numel() != 1:
        raise ShapeError(
            f"Time-varying weights got times of shape {tuple(t.shape)}; all states must share the time: integrate with "
            "fixed steps."
        )
    return t.reshape(())


def _at(stack: Tensor, index: Any) -> Tensor:
    if isinstance(index, Tensor):  # stack[index] would read the number, which a compiled step cannot
        return stack.index_select(0, index.reshape(1)).squeeze(0)
    entry: Tensor = stack[index]
    return entry


def _floor(place: Time, last: int) -> Any:
    if isinstance(place, Tensor):
        return place.floor().long().clamp(0, last)
    return min(max(math.floor(place), 0), last)
