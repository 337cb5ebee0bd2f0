"""What rules have in common that know the layers: L, s_k, the treatment of vectors, and what a step did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, sqrt
from operator import mul
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.adam import adam_state, adamw
from ctrlnet_plugins.optimizers.advice import Advice, advise
from ctrlnet_plugins.optimizers.architecture import depth_in_layers, number_of_layers, require_treatable
from ctrlnet_plugins.optimizers.ascent import Ascent, frobenius, length, total, walk
from ctrlnet_plugins.optimizers.blocks import PRECISE, orthogonal, places, scale, spectral_norm, squares
from ctrlnet_plugins.optimizers.options import require_among, require_positive
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import squared_norm
from ctrlnet_plugins.optimizers.rule import Rule

_BIAS = ("error", "block", "frozen", "adamw")


class Layered(Rule):
    """A rule that divides a step η among L layers,  W_k ← W_k − γ (η/L) s_k D_k,  with ‖D_k‖ = 1.

    A tensor (d_k, d_{k−1}) is one matrix, a convolution one for each place of its kernel. A subclass may say η
    (`automatic`; by default 1), D_k (`ascent`; by default g_k / ‖g_k‖_F) and what stands in the place of s_k (`reach`).

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: γ.
        bias: what to do with tensors of fewer than two axes. "error": refuse them. "block": a vector of length d is a
            matrix (d, 1), so s = √d; it takes a full share, which means that it counts in G but not in L. "frozen":
            leave them as they are. "adamw": torch's AdamW with its defaults, at the rate γ · bias_lr.
        depth: L; "tensors": the number of tensors with two axes or more; "layers": the number of layers that hold one
            (`for_module` only); or the number itself.
        bias_lr: see "adamw".
        maximize, foreach, on_nonfinite: as in `Rule`.
    """

    _own: ClassVar[tuple[str, ...]] = ("_skipped", "_bias", "_depth")
    _count, _plain = 0, False  # L; whether no tensor has more than one matrix or less than single precision
    _moved: Sequence[tuple[list[Tensor], Any, list[Any]]] = ()  # the last step: weights, ±γη/L, s_k

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        bias: str = "error",
        depth: str | int | None = "tensors",
        bias_lr: float = 1e-3,
        maximize: bool = False,
        foreach: bool | None = None,
        on_nonfinite: str = "skip",
    ) -> None:
        require_among("bias", bias, _BIAS)
        require_positive("bias_lr", bias_lr)
        self._bias, self._depth = bias, number_of_layers(depth)
        options = {"lr": lr, "bias_lr": bias_lr, "adamw": False}
        super().__init__(params, options, maximize=maximize, foreach=foreach, on_nonfinite=on_nonfinite)

    @classmethod
    def for_module(
        cls, module: nn.Module, *, bias: str = "block", depth: str | int | None = "tensors", **options: Any
    ) -> Self:
        """The rule over the trainable parameters of a module, biases as blocks unless said otherwise.

        Raises:
            UsageError: a layer for which there is no s_k; the message names it and says what to do.
        """
        require_treatable(module, cls.__name__)
        if depth == "layers":
            depth = max(1, depth_in_layers(module))
        return super().for_module(module, bias=bias, depth=depth, **options)

    @classmethod
    def check_model(
        cls, module: nn.Module, inputs: Tensor | None = None, targets: Tensor | None = None
    ) -> tuple[Advice, ...]:
        """What in a module, or in its data, is not as the theory assumes, and what to do about it.

        Biases, gains of normalisations, activations that change a signal's size, weights that are not semi-orthogonal
        times s_k; with `inputs` also their norm and the size of the signal at every layer, with `targets` theirs.
        Nothing is changed.

        Args:
            module: what `for_module` would be given.
            inputs: a batch for the module, (batch, ...).
            targets: what its outputs are compared with, (batch, d_L).

        Returns:
            pieces of advice, none where all is as assumed.
        """
        return advise(module, inputs, targets)

    def automatic(self, summary: Any) -> Any:
        """η from G, floats or tensors: here 1, so that `lr` alone gives the step."""
        return 1.0

    def reach(self, part: Part) -> list[Any]:
        """s_k of each weight, or what a rule puts in its place: numbers, or tensors broadcastable against it."""
        return [scale(weight.shape) for weight in part.weights]

    def ascent(self, part: Part, measures: list[Tensor]) -> Ascent:
        """D_k and ‖g_k‖ of each weight, given the squared Frobenius norms of the matrices of each gradient."""
        return frobenius(part, measures)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch does it; vectors are refused, left out or given a group of their own, as `bias` says."""
        params = param_group["params"]
        entries = [params] if isinstance(params, Tensor) else list(params)
        small = [entry for entry in entries if _tensor(entry).ndim < 2]
        if small and self._bias == "error":
            raise UsageError(self._refusal(small[0]))
        self._count = 0
        if self._bias in ("block", "error") or param_group.get("adamw"):
            super().add_param_group({**param_group, "params": entries})
            return
        super().add_param_group({**param_group, "params": [entry for entry in entries if _tensor(entry).ndim >= 2]})
        if small and self._bias == "adamw":
            super().add_param_group({**param_group, "params": small, "adamw": True})

    def _refusal(self, entry: Any) -> str:
        name = f"'{entry[0]}'" if isinstance(entry, tuple) else "a parameter"
        return (
            f"{type(self).__name__} as published has no rule for vectors such as biases; {name} has shape "
            f"{tuple(_tensor(entry).shape)}. Build the layers with bias=False, or pass bias='block', bias='frozen' or "
            "bias='adamw'."
        )

    @property
    def depth(self) -> int:
        """L, the number of layers among which the step is divided."""
        if self._count == 0:
            weights = [weight for group in self.param_groups if not group["adamw"] for weight in group["params"]]
            self._count = self._depth or sum(weight.ndim >= 2 for weight in weights) or len(weights)
            self._plain = all(weight.ndim <= 2 and weight.dtype in PRECISE for weight in weights)
        return self._count

    @torch.no_grad()
    def init_weights_(self, generator: torch.Generator | None = None) -> None:
        """Draw every matrix uniformly semi-orthogonal times s_k, as the theory assumes, and set vectors to zero.

        Nothing else of this class draws weights.
        """
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    weight.zero_()
                else:
                    weight.copy_(orthogonal(weight, generator).mul_(scale(weight.shape)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_count": 0, "_plain": False})

    def keeps_state(self, group: dict[str, Any]) -> bool:
        return bool(group["adamw"])

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        return adam_state(weight)

    def measure(self, part: Part) -> list[Any]:
        """Squared Frobenius norms of the matrices of every gradient."""
        return list(map(squared_norm if self._is_plain(part) else squares, part.gradients))

    def _is_plain(self, part: Part) -> bool:
        """Whether `_move_plain` takes the part: all there is, one matrix a tensor, on a CPU."""
        alone = self.depth > 0 and self._plain and len(self.param_groups) == 1
        return alone and part.on_host and not part.group["adamw"]

    def move(self, part: Part, measures: list[Any]) -> None:
        """One part alone; `move_all` finds η over all."""
        self.move_all([part], [measures])

    def move_all(self, parts: list[Part], measures: list[list[Any]]) -> None:
        if self._is_plain(parts[0]):
            self._move_plain(parts[0], measures[0])
        else:
            self._move_any(parts, measures)

    def _move_plain(self, part: Part, squares: list[float]) -> None:
        """The step by g / ‖g‖_F in Python's numbers: in a small network these lines are what takes the time."""
        sizes = list(map(sqrt, squares))
        reaches = self.reach(part)
        eta = self.automatic(sum(map(mul, reaches, sizes)) / self.depth)
        step = part.sign * float(part.group["lr"]) * eta / self.depth
        steps = [step * reach / (size or inf) for reach, size in zip(reaches, sizes, strict=True)]
        for weight, gradient, alpha in zip(part.weights, part.gradients, steps, strict=True):
            weight.add_(gradient, alpha=alpha)
        self._moved = [(part.weights, step, reaches)]

    def _move_any(self, parts: list[Part], measures: list[list[Tensor]]) -> None:
        """The step in tensors' numbers, and of all kinds of tensors."""
        layers: list[tuple[Part, Ascent, list[Any]]] = []
        for part, own in zip(parts, measures, strict=True):
            if part.group["adamw"]:
                adamw(part, [self.state[weight] for weight in part.weights])
            else:
                layers.append((part, self.ascent(part, own), self.reach(part)))
        terms = [reach * size for _, up, reaches in layers for reach, size in zip(reaches, up.sizes, strict=True)]
        share = self.automatic(total(terms) / self.depth) / self.depth if terms else 0.0
        self._moved = [(part.weights, share * part.sign * part.group["lr"], reaches) for part, _, reaches in layers]
        for (part, up, _), (_, step, reaches) in zip(layers, self._moved, strict=True):
            walk(part, up, [step * reach for reach in reaches])

    @property
    def last_relative_updates(self) -> dict[str, float]:
        """‖ΔW_k‖ / ‖W_k‖_2 of the last step by name of the tensor, W_k as it is now.

        ‖ΔW_k‖ is measured as the rule does it, in the Frobenius or the operator norm; for a convolution both are sums
        over the places of its kernel.
        """
        moves = (zip(weights, reaches, [step] * len(weights), strict=True) for weights, step, reaches in self._moved)
        lengths = {id(weight): abs(length(weight, step * reach)) for move in moves for weight, reach, step in move}
        named = [(name, weight) for name, weight in self._named() if id(weight) in lengths]
        return {name: lengths[id(weight)] / (spectral_norm(weight) or float("nan")) for name, weight in named}

    @property
    def spectral_norms(self) -> dict[str, float]:
        """‖W_k‖_2 / s_k by name of the tensor, as it is now: 1 after `init_weights_`; it grows in training."""
        return {
            name: spectral_norm(weight) / (scale(weight.shape) * places(weight.shape) or 1.0)
            for name, weight in self._named()
        }

    def _named(self) -> list[tuple[str, Tensor]]:
        """Every tensor that has an s_k, by name, or by its place among all."""
        pairs, count = [], 0
        for group in self.param_groups:
            for place, weight in enumerate(group["params"]):
                if not group["adamw"]:
                    pairs.append((group["param_names"][place] if "param_names" in group else str(count), weight))
                count += 1
        return pairs


def _tensor(entry: Any) -> Tensor:
    tensor = entry[1] if isinstance(entry, tuple) else entry
    if not isinstance(tensor, Tensor):
        raise UsageError(f"Give tensors, (name, tensor) pairs or groups of them, not {type(tensor).__name__}.")
    return tensor
