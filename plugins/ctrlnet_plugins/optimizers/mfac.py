"""M-FAC: natural gradient steps with the last gradients themselves as the Fisher matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.options import require_positive
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.rule import Rule


class MFAC(Rule):
    """Matrix-free approximate curvature,  w ← w − lr·F⁻¹ g  with  F = λ I + (1/k) Σ_j g_j g_jᵀ.

    The g_j are the last k gradients, k counts those seen, up to `history`, and g is the newest of them; all weights of
    all groups form one vector. With the g_j as the rows of G and K = G Gᵀ, Woodbury's identity and g = Gᵀ e give

        F⁻¹ g = k Gᵀ (k λ I + K)⁻¹ e,

    in which nothing cancels. A step costs two products with G and one Cholesky factor of a matrix as wide as the
    history, in float64; K gets one new row a step. To be positive definite in the weights' own precision the matrix
    has K's trace times the machine epsilon added to its diagonal. A missing gradient counts as zero.

    Memory: `history` numbers a weight, as `memory()` says: 5 MB for 10 000 weights in float32 and the default, 1.1 GB
    for 2 million. Meant for policies and candidates of up to some ten thousand weights.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: learning rate.
        damping: λ, which limits a step to lr·‖g‖/λ. [square of the gradient's unit]
        history: greatest k.
        maximize, on_nonfinite: as in `Rule`; `foreach` makes no difference.

    Source: Frantar, Kurtic and Alistarh, M-FAC: efficient matrix-free approximations of second-order information,
    NeurIPS 2021, section 3; there k is `history` from the first step on, as if zero gradients had gone before.
    """

    claims = frozenset({"rotation"})

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, *, damping: float = 1e-5, history: int = 128, **shared: Any
    ) -> None:
        super().__init__(params, {"lr": lr, "damping": damping, "history": history}, **shared)

    def check(self, group: dict[str, Any]) -> None:
        require_positive("damping", group["damping"])
        if isinstance(group["history"], bool) or not isinstance(group["history"], int) or group["history"] < 1:
            raise UsageError(f"history must be a whole number above zero, got {group['history']!r}.")
        for option in ("damping", "history"):
            if group[option] != self.defaults[option]:
                raise UsageError(
                    f"{option} is one for all weights, since they form one vector; a group has {group[option]}, the "
                    f"optimizer {self.defaults[option]}. Pass {option}={group[option]} to MFAC itself."
                )

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        if weight is not self._first:
            self._ledger()
        return self._zeros(weight, weight is self._first)

    def kept(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        return self._zeros(weight.to("meta"), weight is self._first)

    def _zeros(self, weight: Tensor, first: bool) -> dict[str, Any]:
        history = self.defaults["history"]
        state = {"gradients": weight.new_zeros(history, *weight.shape)}
        if not first:
            return state
        gram = torch.zeros(history, history, dtype=torch.float64, device=weight.device)
        return {**state, "count": torch.zeros((), dtype=torch.int64, device=weight.device), "gram": gram}

    @property
    def _first(self) -> Tensor:
        """The weight with whose state K and the number of gradients are kept."""
        first: Tensor = self.param_groups[0]["params"][0]
        return first

    def _ledger(self) -> dict[str, Any]:
        if self._first not in self.state:
            self.state[self._first] = self.begin(self.param_groups[0], self._first)
        state: dict[str, Any] = self.state[self._first]
        return state

    def memory(self) -> dict[str, int]:
        """Bytes of the state: of the gradients kept, and of K."""
        kept = [state["gradients"] for state in self.state.values()]
        return {
            "gradients": sum(tensor.nbytes for tensor in kept),
            "gram": sum(state["gram"].nbytes for state in self.state.values() if "gram" in state),
        }

    def move_all(self, parts: list[Part], measures: list[list[Any]]) -> None:
        ledger = self._ledger()
        slot = (ledger["count"] % self.defaults["history"]).view(1)
        self._keep(slot)
        ledger["count"].add_(1)
        combination = self._combination(ledger, slot, [weight for part in parts for weight in part.weights])
        for part in parts:
            rate = part.sign * float(part.group["lr"])
            for weight in part.weights:
                rows = self._rows(weight)
                weight.add_((combination.to(rows) @ rows).view_as(weight), alpha=rate)

    def move(self, part: Part, measures: list[Any]) -> None:
        """Nothing: no part moves by itself."""

    def _rows(self, weight: Tensor) -> Tensor:
        """The gradients kept of a weight, each a row."""
        kept: Tensor = self.state[weight]["gradients"]
        return kept.reshape(len(kept), weight.numel())

    def _keep(self, slot: Tensor) -> None:
        """Put the newest gradient in the place of the oldest."""
        for weight, state in self.state.items():
            newest = torch.zeros_like(weight) if weight.grad is None else weight.grad
            state["gradients"].index_copy_(0, slot.to(weight.device), newest.unsqueeze(0))

    def _combination(self, ledger: dict[str, Any], slot: Tensor, weights: list[Tensor]) -> Tensor:
        """k (k λ I + K)⁻¹ e, after K has got its new row, that is G g."""
        gram: Tensor = ledger["gram"]
        products = torch.zeros_like(gram[0])
        for weight in weights:
            products += (self._rows(weight) @ weight.grad.flatten()).to(gram)  # type: ignore[union-attr]
        gram.index_copy_(0, slot, products.unsqueeze(0)).index_copy_(1, slot, products.unsqueeze(1))
        count = ledger["count"].clamp_max(self.defaults["history"]).to(gram)
        rounding = max(torch.finfo(weight.dtype).eps for weight in weights)
        diagonal = count * self.defaults["damping"] + rounding * gram.trace()
        damped = gram.clone()
        damped.diagonal().add_(diagonal)
        factor = torch.linalg.cholesky_ex(damped).L
        unit = torch.zeros_like(products).index_fill_(0, slot, 1.0)
        return torch.cholesky_solve((count * unit).unsqueeze(1), factor).squeeze(1)
