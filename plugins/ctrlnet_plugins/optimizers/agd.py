"""Automatic gradient descent: a step size from the architecture, none from the user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from math import inf, isfinite, log1p, prod, sqrt
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet import NonFinite, UsageError

_BIAS = ("error", "block", "frozen")
_NONFINITE = ("skip", "raise")
_NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_log = logging.getLogger("ctrlnet")


class _Block(NamedTuple):
    """A tensor with a gradient, its group and how errors call it."""

    group: dict[str, Any]
    name: str
    tensor: Tensor
    gradient: Tensor


class AGD(Optimizer):
    """Automatic gradient descent,  W_k ← W_k − γ (η/L) s_k g_k / ‖g_k‖_F,  where

        s_k = √(d_k / d_{k−1}),    G = (1/L) Σ_k s_k ‖g_k‖_F,    η = log((1 + √(1 + 4G)) / 2).

    W_k has shape (d_k, d_{k−1}), L is the number of weight tensors, and the gain γ is the group's `lr`, 1 by default. A
    convolution is a matrix for each place of its kernel: a norm for each, s_k divided by the root of their number, and
    G sums over them. The rule majorises the square loss (1/2 d_L)‖f − y‖² (of mean((f − y)²), as in the authors'
    code, G is twice as large) of a network without biases whose weights `initialize` has drawn; elsewhere it is a
    heuristic. η grows with G, so gradients must be unscaled after mixed precision and averaged, not summed, when they
    are accumulated; clipping changes η. No state is kept for a weight.

    Biases are not in the paper. As a block, a vector of length d is a matrix (d, 1), so s = √d; it takes a full share,
    which means that it counts in G but not in L.

    A zero gradient moves nothing, a missing one (None) counts as zero. NaN or infinity in one gradient would reach
    every tensor through G, so such a step is skipped whole (and counted in `skipped`) or raises.

    Args:
        params: tensors, (name, tensor) pairs, or parameter groups.
        lr: γ, the gain.
        bias: what to do with tensors of fewer than two axes: "error" as published, "block" as above, "frozen" leaves
            them as they are.
        depth: L [-]; None: the number of tensors with two axes or more.
        maximize: ascend instead.
        on_nonfinite: "skip" or "raise" (NonFinite).

    Attributes:
        eta, gradient_summary: η and G of the last step, None before it.
        skipped: steps not taken because of a gradient that is not finite.

    Source: Bernstein, Mingard, Huang, Azizan and Yue, Automatic Gradient Descent: Deep Learning without
    Hyperparameters, arXiv 2304.05187, Algorithm 1.
    """

    ctrlnet_contract = 1

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        bias: str = "error",
        depth: int | None = None,
        maximize: bool = False,
        on_nonfinite: str = "skip",
    ) -> None:
        _require("bias", bias, _BIAS)
        _require("on_nonfinite", on_nonfinite, _NONFINITE)
        if not 0 <= lr < inf:
            raise UsageError(f"The gain lr must be finite and not negative, got {lr}.")
        if depth is not None and depth < 1:
            raise UsageError(f"The depth L must be a positive integer or None, got {depth}.")
        self._bias, self._depth, self._on_nonfinite = bias, depth, on_nonfinite
        self.eta: float | None = None
        self.gradient_summary: float | None = None
        self.skipped = 0
        super().__init__(params, {"lr": lr, "maximize": maximize})

    @classmethod
    def for_module(cls, module: nn.Module, *, bias: str = "block", **options: Any) -> Self:
        """AGD over the trainable parameters of a module, biases as blocks unless said otherwise.

        Raises:
            UsageError: a normalisation layer has a trainable gain, for which AGD has no rule.
        """
        for name, part in module.named_modules():
            if isinstance(part, _NORMALISATIONS) and any(True for _ in part.parameters(recurse=False)):
                raise UsageError(
                    f"AGD has no rule for the gain of {type(part).__name__} at '{name}'. "
                    "Build the layer with affine=False or elementwise_affine=False."
                )
        trainable = [(name, tensor) for name, tensor in module.named_parameters() if tensor.requires_grad]
        return cls(trainable, bias=bias, **options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        params = param_group["params"]
        entries = [params] if isinstance(params, Tensor) else list(params)
        if self._bias == "frozen":
            entries = [entry for entry in entries if _tensor(entry).ndim >= 2]
        for entry in entries:
            self._require_rule(entry)
        super().add_param_group({**param_group, "params": entries})

    def _require_rule(self, entry: Any) -> None:
        """Refuse tensors that the rule does not cover."""
        tensor = _tensor(entry)
        name = f"'{entry[0]}'" if isinstance(entry, tuple) else "a parameter"
        if tensor.is_complex():
            raise UsageError(f"AGD works on real tensors; {name} is {tensor.dtype}.")
        if tensor.ndim < 2 and self._bias == "error":
            raise UsageError(
                f"AGD as published has no rule for vectors such as biases; {name} has shape {tuple(tensor.shape)}. "
                "Build the layers with bias=False, or pass bias='block' or bias='frozen'."
            )

    def __getstate__(self) -> dict[str, Any]:
        own = ("_bias", "_depth", "_on_nonfinite", "eta", "gradient_summary", "skipped")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    @property
    def depth(self) -> int:
        """L, the number of weight tensors among which the step is divided."""
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        return self._depth or sum(tensor.ndim >= 2 for tensor in tensors) or len(tensors)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight uniformly semi-orthogonal times s_k, as the rule assumes, and set vectors to zero."""
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.ndim < 2:
                    tensor.zero_()
                else:
                    tensor.copy_(_orthogonal(tensor, generator).mul_(_scale(tensor)))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; returns the closure's loss.

        Raises:
            NonFinite: a gradient has NaN or infinity and `on_nonfinite` is "raise".
            UsageError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        blocks = list(self._blocks())
        if not blocks:
            return loss
        norms = [_norms(block.gradient) for block in blocks]
        sums = torch.stack([norm.sum().to(norms[0].device) for norm in norms]).tolist()  # the only wait for the device
        summary = sum(_scale(block.tensor) * total for block, total in zip(blocks, sums, strict=True)) / self.depth
        if not isfinite(summary):
            self._refuse(blocks, sums)
            return loss
        # log((1 + √(1 + 4G)) / 2), written so that a small G loses no digits
        self.eta = log1p(2 * summary / (1 + sqrt(1 + 4 * summary)))
        self.gradient_summary = summary
        for block, norm in zip(blocks, norms, strict=True):
            self._move(block, norm, self.eta / self.depth)
        return loss

    def _blocks(self) -> Iterator[_Block]:
        for group in self.param_groups:
            names = group.get("param_names", [f"parameter {i}" for i in range(len(group["params"]))])
            for name, tensor in zip(names, group["params"], strict=True):
                if tensor.grad is None:
                    continue
                if tensor.grad.layout != torch.strided:
                    raise UsageError(f"AGD works on dense gradients; that of {name} is {tensor.grad.layout}.")
                yield _Block(group, name, tensor, tensor.grad)

    def _move(self, block: _Block, norm: Tensor, share: float) -> None:
        """W ← W − γ share s g/‖g‖, where g/‖g‖ is zero when g is."""
        length = float(block.group["lr"]) * share * _scale(block.tensor) * (1 if block.group["maximize"] else -1)
        coefficient = torch.where(norm > 0, length / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)
        block.tensor.add_(block.gradient * coefficient)

    def _refuse(self, blocks: list[_Block], sums: list[float]) -> None:
        worst = next((b.name for b, total in zip(blocks, sums, strict=True) if not isfinite(total)), "their sum")
        message = f"A gradient is not finite: {worst}. No weight was moved."
        if self._on_nonfinite == "raise":
            raise NonFinite(message)
        self.skipped += 1
        _log.warning("AGD skipped a step. %s", message)


def _require(option: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise UsageError(f"{option} is {given!r}; allowed: {', '.join(map(repr, allowed))}.")


def _tensor(entry: Any) -> Tensor:
    tensor = entry[1] if isinstance(entry, tuple) else entry
    if not isinstance(tensor, Tensor):
        raise UsageError(f"AGD takes tensors, (name, tensor) pairs or groups of them, got {type(tensor).__name__}.")
    return tensor


def _scale(tensor: Tensor) -> float:
    """s_k = √(d_out / d_in), for a convolution over the root of the number of kernel places; a vector is a column."""
    outputs, inputs, *kernel = (*tensor.shape, 1, 1)[: max(tensor.ndim, 2)]
    return sqrt(outputs / inputs / prod(kernel)) if tensor.numel() else 0.0


def _norms(gradient: Tensor) -> Tensor:
    """Frobenius norms of the matrices of a tensor: one, or one for each kernel place, in at least single precision."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    dimensions = (0, 1) if gradient.ndim > 2 else None
    norms: Tensor = torch.linalg.vector_norm(gradient, dim=dimensions, keepdim=gradient.ndim > 2, dtype=dtype)
    return norms


def _orthogonal(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    """A tensor of that shape whose matrices are uniformly semi-orthogonal."""
    outputs, inputs, *kernel = tensor.shape
    tall = (*kernel, max(outputs, inputs), min(outputs, inputs))
    normal = torch.randn(tall, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    q = q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)  # the sign makes the distribution uniform
    matrices: Tensor = q if outputs >= inputs else q.mT
    return matrices.movedim((-2, -1), (0, 1)).to(tensor)
