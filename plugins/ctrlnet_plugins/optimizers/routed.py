"""Several optimizers as one, for rules that fit only some of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ctrlnet import UsageError


class Routed(Optimizer):
    """Optimizers of disjoint parameters that step together and look like one.

    `param_groups` are the parts' own groups, one after the other, so that a learning-rate scheduler reaches them; all
    parts share one `state`, so that `state_dict` and `load_state_dict` are those of torch.

    Args:
        parts: optimizers without a parameter in common; they belong to this object from now on.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self._parts = tuple(parts)
        self._complete = False
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._complete = True
        self._share()

    def _share(self) -> None:
        """Let every part work on this object's state and on its slice of the groups."""
        groups = iter(self.param_groups)
        for part in self._parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self._complete:
            raise UsageError(
                f"{type(self).__name__} routes parameters when it is built and takes no group afterwards; "
                "build a new one over all parameters."
            )
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_parts": self._parts, "_complete": True}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every part; the closure is evaluated once, with gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
