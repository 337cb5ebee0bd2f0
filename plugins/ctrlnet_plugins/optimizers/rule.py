"""What all update rules of our own share: whose turn it is, and that a broken gradient breaks nothing else."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from ctrlnet import NonFinite, UsageError
from ctrlnet_plugins.optimizers.options import require_among, require_flag, require_rate
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import squared_norm, squares, total_of
from ctrlnet_plugins.optimizers.saved import require_fitting

_log = logging.getLogger("ctrlnet")


class Rule(Optimizer):
    """An optimizer that says how weights move when every gradient is finite; this class sees to the rest.

    A step first measures every gradient (`measure`), then, if all measures are finite, moves the weights (`move_all`,
    part by part `move`). On a CPU and with "raise" the measures are read before anything is written. With "skip" on
    CUDA nothing is read: weights and states are copied, moved, and put back by a flag that stays on the device.

    A rule defines `move`, and where it needs them `measure`, `begin` (the state of a weight) and `check` (its options).
    `move` changes weights and state tensors in place, and reads nothing back from a CUDA device.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups; names make errors readable.
        options: defaults of the rule's own options, `lr` among them.
        maximize: ascend instead.
        foreach: operations on lists of tensors (True), one tensor at a time (False), or as the device likes (None).
        on_nonfinite: "raise" (NonFinite) or "skip" a step in which a gradient has NaN or infinity, or is so large
            that its norm has. Nothing is changed either way.

    Attributes:
        skipped: steps not taken because of a gradient that is not finite.
    """

    ctrlnet_contract = 1
    _own: ClassVar[tuple[str, ...]] = ("_skipped",)  # attributes that copies and pickles take along

    def __init__(
        self,
        params: Iterable[Any],
        options: dict[str, Any],
        /,  # so that nobody takes `options` for one that a user may give
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        on_nonfinite: str = "raise",
    ) -> None:
        require_among("on_nonfinite", on_nonfinite, ("raise", "skip"))
        self._skipped: Tensor = torch.zeros((), dtype=torch.int64)
        shared = {"maximize": maximize, "foreach": foreach, "on_nonfinite": on_nonfinite}
        super().__init__(params, {**options, **shared})

    @classmethod
    def for_module(cls, module: nn.Module, **options: Any) -> Self:
        """The rule over the trainable parameters of a module; errors then call them by name."""
        weights = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
        return cls(weights, **options)  # type: ignore[call-arg]  # a rule's own constructor gives the options

    def measure(self, part: Part) -> list[Any]:
        """For each gradient a float, or a tensor whose sum is finite only where it is: here its squared norm."""
        return list(map(squared_norm, part.gradients)) if part.on_host else list(squares(part.gradients))

    def keeps_state(self, group: dict[str, Any]) -> bool:
        """Whether weights of a group have a state at all; asking once saves time in a small network."""
        return True

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        """The state of a weight before its first step; nothing is kept of an empty one."""
        return {}

    def kept(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        """Tensors of the shapes that the state of a weight has."""
        return self.begin(group, torch.ones_like(weight)) if self.keeps_state(group) else {}

    def check(self, group: dict[str, Any]) -> None:
        """Refuse options of a group that cannot be meant."""

    @abstractmethod
    def move(self, part: Part, measures: list[Any]) -> None:
        """Change the weights of a part, and their states, by one step; every gradient is finite."""

    def move_all(self, parts: list[Part], measures: list[list[Any]]) -> None:
        """Change all weights by one step; a rule with a quantity over all of them does its own."""
        for part, own in zip(parts, measures, strict=True):
            self.move(part, own)

    @property
    def skipped(self) -> int:
        return int(self._skipped)

    def require_precise(self, group: dict[str, Any]) -> None:
        """Refuse half precision, in which a mean over a thousand steps stands still."""
        for weight in group["params"]:
            if weight.dtype.itemsize < 4:
                raise UsageError(
                    f"{type(self).__name__} keeps a mean over many steps, which {weight.dtype} cannot hold; "
                    f"{self.name(group, weight)} has it. Keep the weights in float32 and compute the loss under "
                    "torch.autocast."
                )

    def name(self, group: dict[str, Any], weight: Tensor) -> str:
        """How errors call a weight: 'layer.weight', or its place in the group."""
        place = next(i for i, other in enumerate(group["params"]) if other is weight)
        return f"'{group['param_names'][place]}'" if "param_names" in group else f"parameter {place}"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            self.check_group(self.param_groups[-1])
        except UsageError:
            self.param_groups.pop()
            raise

    def check_group(self, group: dict[str, Any]) -> None:
        """Refuse options and weights that the rule cannot work with."""
        require_rate(group["lr"])
        require_flag("maximize", group["maximize"])
        if group["foreach"] is not None:
            require_flag("foreach", group["foreach"], "True, False, None")
        self.check(group)
        for weight in group["params"]:
            if not weight.is_floating_point():
                raise UsageError(
                    f"{type(self).__name__} works on real tensors; {self.name(group, weight)} is {weight.dtype}. "
                    "Make a complex parameter of a real one with torch.view_as_complex."
                )
            if weight.layout != torch.strided:
                raise UsageError(
                    f"{type(self).__name__} works on dense tensors; {self.name(group, weight)} is {weight.layout}. "
                    "Use the dense tensor, weight.to_dense()."
                )

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; returns the closure's loss.

        Raises:
            NonFinite: a gradient has NaN or infinity and `on_nonfinite` is "raise".
            UsageError: a gradient is sparse, or the learning rate of a group is NaN or negative; nothing is changed.
        """
        hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        hooks = hooks or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
        if hooks or torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            return self._watched_step(closure)
        return self._step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # torch then leaves it: its wrapping takes as long as a small step

    @torch.no_grad()
    def _step(self, closure: Callable[[], float] | None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parts = [part for part in map(self._part, self.param_groups) if part.weights]
        if parts:
            measures = [self.measure(part) for part in parts]
            flags = [m for own in measures for m in own]
            total = total_of(flags)
            if isinstance(total, Tensor) and self.defaults["on_nonfinite"] == "skip":
                self._move_or_put_back(parts, measures, total.isfinite())
            elif isfinite(total):
                self.move_all(parts, measures)
            else:
                self._refuse(parts, flags)
        return loss

    _watched_step = Optimizer.profile_hook_step(_step)

    def _part(self, group: dict[str, Any]) -> Part:
        lr = group["lr"]
        if not (type(lr) is float and 0 <= lr < inf):  # a scheduler may have set it; a float is the quick case
            require_rate(lr)
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        keeps = self.keeps_state(group)
        for weight in group["params"]:
            gradient = weight.grad
            if gradient is None or gradient.numel() == 0:
                continue
            if gradient.layout is not torch.strided:
                raise UsageError(
                    f"{type(self).__name__} works on dense gradients; that of {self.name(group, weight)} is "
                    f"{gradient.layout}. Build the embedding with sparse=False, or call to_dense() on the gradient."
                )
            if keeps and weight not in self.state and (begun := self.begin(group, weight)):
                self.state[weight] = begun
            weights.append(weight)
            gradients.append(gradient)
        return Part(group, weights, gradients)

    def _move_or_put_back(self, parts: list[Part], measures: list[list[Any]], finite: Tensor) -> None:
        """Move, and undo it where not all is finite, without waiting for the device."""
        weights = [weight for part in parts for weight in part.weights]
        states = [value for state in self.state.values() for value in state.values() if isinstance(value, Tensor)]
        changed = weights + states
        before = [tensor.clone() for tensor in changed]
        self.move_all(parts, measures)
        for tensor, old in zip(changed, before, strict=True):
            tensor.copy_(torch.where(finite.to(tensor.device), tensor, old))
        self._skipped = self._skipped.to(finite.device) + finite.logical_not()

    def _refuse(self, parts: list[Part], flags: list[Any]) -> None:
        owners = [(part.group, weight) for part in parts for weight in part.weights]
        broken = [
            self.name(*owner) for owner, flag in zip(owners, flags, strict=True) if not isfinite(total_of([flag]))
        ]
        message = f"The gradient is not finite, or its norm overflows: {', '.join(broken)}. No weight was moved."
        if self.defaults["on_nonfinite"] == "raise":
            raise NonFinite(f"{message} Lower the learning rate, clip, or skip such steps with on_nonfinite='skip'.")
        self._skipped += 1
        _log.warning("%s skipped a step. %s", type(self).__name__, message)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch does it, but every state tensor keeps the dtype it was saved with, bit for bit.

        Raises:
            UsageError: the state is one of another rule, of other options or of other weights; nothing is changed.
        """
        require_fitting(self, state_dict)
        super().load_state_dict(state_dict)
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for index, weight in zip(saved, weights, strict=True):
            for key, value in state_dict["state"].get(index, {}).items():
                if isinstance(value, Tensor):
                    self.state[weight][key] = value.to(weight.device, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self._own}}
