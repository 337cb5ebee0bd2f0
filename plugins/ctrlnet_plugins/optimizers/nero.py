"""Nero: every neuron keeps weights of mean zero and norm one, and turns at a rate of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ctrlnet import UsageError
from ctrlnet_plugins.optimizers.options import require_flag, require_fraction
from ctrlnet_plugins.optimizers.part import Part
from ctrlnet_plugins.optimizers.passes import count_steps
from ctrlnet_plugins.optimizers.rows import Rows
from ctrlnet_plugins.optimizers.rule import Rule


class Nero(Rule):
    """Neuronal rotator,  w_i ← Π(w_i − lr·s·g_i/√v̂_i)  for every row w_i, the weights of one neuron.

    v_i ← β v_i + (1 − β) ‖g_i‖², v̂ = v/(1 − βᵗ), and Π subtracts the mean of the row and divides by its norm (which
    makes the scale s one). A convolution has a row for each output channel. With one input to a neuron the mean is
    left. A vector (biases, gains) is treated entry by entry, ‖·‖ the absolute value, not projected, and s the mean
    size of its entries before the first step, or 0.01 where all are zero. 0/0 is 0 (v has the smallest normal number
    of its dtype added at every step). The scale of the loss does not matter as long as gradients are 1e-16 to 1e18 in
    size (in float64 1e-150 to 1e153): five steps then are the same to 1 %. Below that v underflows and steps become
    shorter, down to none; above it the norm overflows.

    **Building the optimizer projects the weights**, and so changes the network, unless they are balanced already (to
    rounding, so that a resumed training goes on bit for bit). Every output of a layer then is a product with a unit
    vector: put a gain where a large output is needed, or keep the last layer free by a group of its own,
    `[{"params": hidden}, {"params": last, "constrain": False}]`; s is the mean norm of its rows then.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: angle [rad] of a typical step of a neuron; 0.01, or 0.001 where that diverges.
        beta: β.
        constrain: whether Π is applied.
        maximize, on_nonfinite: as in `Rule`; `foreach` makes no difference.

    State: a number a row, or an entry of a vector, and two a tensor. On a CPU also room for two numbers a row.

    Raises:
        UsageError: a row is zero or constant, so that it has no direction.

    Source: Liu, Bernstein, Meister and Yue, Learning by turning: neural architecture aware optimisation, ICML 2021,
    Algorithm 1.
    """

    claims = frozenset({"loss scale", "row norms"})

    def __init__(
        self, params: Iterable[Any], lr: float = 0.01, *, beta: float = 0.999, constrain: bool = True, **shared: Any
    ) -> None:
        self._rows: dict[int, Rows] = {}
        super().__init__(params, {"lr": lr, "beta": beta, "constrain": constrain}, **shared)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_rows": {}})

    def check(self, group: dict[str, Any]) -> None:
        require_fraction("beta", group["beta"])
        require_flag("constrain", group["constrain"])
        self.require_precise(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        matrices = [weight for weight in group["params"] if weight.ndim > 1 and weight.numel()]
        if group["constrain"]:
            with torch.no_grad():
                try:
                    projected = [self._balanced(group, weight) for weight in matrices]
                except UsageError:
                    self.param_groups.pop()
                    raise
                for weight, balanced in zip(matrices, projected, strict=True):
                    weight.copy_(balanced)

    def _balanced(self, group: dict[str, Any], weight: Tensor) -> Tensor:
        """Π of every row, or the weight itself where it is that to rounding."""
        axes, rounding = _axes(weight), 16 * torch.finfo(weight.dtype).eps
        balanced = weight.detach().clone()
        size = torch.linalg.vector_norm(weight, dim=axes)
        centred = torch.linalg.vector_norm(_centre(balanced), dim=axes)
        flat = (centred > rounding * size).logical_not().nonzero()
        if len(flat):
            raise UsageError(
                f"Nero turns the rows of a matrix, and row {int(flat[0])} of {self.name(group, weight)} is zero or "
                f"constant ({len(flat)} such): it has no direction. Draw it from a random distribution first, or pass "
                "constrain=False for its group."
            )
        balanced.div_(centred.view(-1, *(1 for _ in axes)))
        return weight if float((balanced - weight).abs().max()) <= rounding else balanced

    def begin(self, group: dict[str, Any], weight: Tensor) -> dict[str, Any]:
        if weight.ndim > 1:
            moment = weight.new_zeros(weight.shape[0], *(1 for _ in _axes(weight)))
            scale = torch.linalg.vector_norm(weight, dim=_axes(weight)).mean()
        else:
            moment, scale = torch.zeros_like(weight), weight.abs().mean()
        scale = torch.ones_like(scale) if group["constrain"] and weight.ndim > 1 else scale
        step = torch.zeros((), dtype=torch.float32, device=weight.device)
        return {"step": step, "moment": moment, "scale": torch.where(scale > 0, scale, 0.01)}

    def measure(self, part: Part) -> list[Any]:
        """Norms of the rows; on a CPU these stay in the part's `Rows`, and measured is the sum of their squares."""
        rows = self._rows_of(part)
        if rows is None:
            return list(map(_norms, part.gradients))
        for gradient, room in zip(part.gradients, rows.norms, strict=True):
            _norms(gradient, room)
        return rows.squares()

    def _rows_of(self, part: Part) -> Rows | None:
        """The numbers of a part that is on a CPU and in one precision, as last time where nothing has changed."""
        states, key = [self.state[weight] for weight in part.weights], id(part.group)
        tensors = (*part.gradients, *(state["moment"] for state in states))
        if not all(tensor.is_cpu for tensor in tensors) or len({tensor.dtype for tensor in tensors}) > 1:
            return None
        if key not in self._rows or not self._rows[key].hold(states):
            self._rows[key] = Rows(states)
        return self._rows[key]

    def move(self, part: Part, measures: list[Any]) -> None:
        lr, beta = float(part.group["lr"]), float(part.group["beta"])
        if lr == 0:
            return
        states = [self.state[weight] for weight in part.weights]
        if type(measures[0]) is float:
            rows = self._rows[id(part.group)]
            lengths = [root * state["scale"].item() for root, state in zip(rows.advance(beta), states, strict=True)]
            steps = rows.steps
        else:
            steps, lengths = _steps(states, measures, beta), [1.0] * len(states)
        for weight, gradient, step, length in zip(part.weights, part.gradients, steps, lengths, strict=True):
            weight.addcmul_(gradient, step, value=part.sign * lr * length)
            if part.group["constrain"] and weight.ndim > 1:
                _normalise(_centre(weight))


def _norms(gradient: Tensor, out: Tensor | None = None) -> Tensor:
    """The norm of every row; a vector has a row for every entry."""
    if gradient.ndim < 2:
        return torch.abs(gradient, out=out)
    norms: Tensor = torch.linalg.vector_norm(gradient, dim=_axes(gradient), keepdim=True, out=out)
    return norms


def _steps(states: list[dict[str, Any]], norms: list[Tensor], beta: float) -> list[Tensor]:
    """s/√v̂ of every row, after v and t have moved; nobody waits for the device."""
    moments = [state["moment"] for state in states]
    count_steps(states)
    torch._foreach_mul_(moments, beta)
    torch._foreach_addcmul_(moments, norms, norms, value=1 - beta)
    torch._foreach_add_(moments, torch.finfo(moments[0].dtype).tiny)
    steps = list(torch._foreach_rsqrt(moments))
    torch._foreach_mul_(steps, [state["scale"] * (1 - beta ** state["step"].double()).sqrt() for state in states])
    return steps


def _axes(weight: Tensor) -> tuple[int, ...]:
    """The axes of a row: all but the first."""
    return (1,) if weight.ndim == 2 else tuple(range(1, weight.ndim))


def _centre(weight: Tensor) -> Tensor:
    """Subtract from every row its mean, in place; from rows of one entry nothing."""
    entries = weight.numel() // weight.shape[0]
    return weight.sub_(weight.sum(_axes(weight), keepdim=True), alpha=1 / entries) if entries > 1 else weight


def _normalise(weight: Tensor) -> Tensor:
    """Divide every row by its norm, in place; a row of zero stays zero."""
    norms = torch.linalg.vector_norm(weight, dim=_axes(weight), keepdim=True)
    return weight.mul_(norms.clamp_min_(torch.finfo(weight.dtype).tiny).reciprocal_())  # faster than div_
