"""What layer-wise rules ask of a module: which layers they can treat, and how deep it is."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from ctrlnet import UsageError

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_ELSE = "freeze it with requires_grad_(False), or train it with another optimizer of its own"
_REFUSED: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str, str], ...] = (
    (NORMALISATIONS, "the gain of", "Build the layer with affine=False or elementwise_affine=False"),
    ((nn.Embedding, nn.EmbeddingBag), "the rows of", f"They are looked up, not multiplied: {_ELSE}"),
    (nn.PReLU, "the slope of", f"Use an activation without weights, such as nn.LeakyReLU, or {_ELSE}"),
    (nn.Bilinear, "the products of", f"Use nn.Linear on the products, or {_ELSE}"),
    ((nn.RNNBase, nn.RNNCellBase), "weights used again at every time, as in", f"Unroll it into nn.Linear, or {_ELSE}"),
    (nn.MultiheadAttention, "the stacked projections of", f"Write it with one nn.Linear a projection, or {_ELSE}"),
    (nn.modules.conv._ConvTransposeNd, "the transposed kernel of", f"Use nn.Upsample and a convolution, or {_ELSE}"),
)


def require_treatable(module: nn.Module, rule: str) -> None:
    """Refuse a module with a trainable layer for which no s_k is defined.

    Raises:
        UsageError: naming the layer and what to do.
    """
    for name, part in module.named_modules():
        trainable = [weight for weight in part.parameters(recurse=False) if weight.requires_grad]
        if trainable:
            _require_layer(name or "the module itself", part, trainable, rule)


def _require_layer(name: str, part: nn.Module, trainable: list[nn.Parameter], rule: str) -> None:
    for kinds, what, do in _REFUSED:
        if isinstance(part, kinds):
            raise UsageError(f"{rule} has no rule for {what} {type(part).__name__} at '{name}'. {do}.")
    if isinstance(part, nn.modules.conv._ConvNd) and part.groups > 1:
        raise UsageError(
            f"{rule} has no rule for the {part.groups} groups of {type(part).__name__} at '{name}'. "
            f"Use groups=1, one convolution a group, or {_ELSE}."
        )
    if any(isinstance(weight, UninitializedParameter) for weight in trainable):
        raise UsageError(
            f"{type(part).__name__} at '{name}' has no shape yet. Pass one batch through the module before the "
            "optimizer is built."
        )


def layers(module: nn.Module) -> list[tuple[str, nn.Module, Tensor]]:
    """Every trainable tensor with two axes or more: the name of its layer, the layer, the tensor."""
    return [
        (name, part, weight)
        for name, part in module.named_modules()
        for weight in part.parameters(recurse=False)
        if weight.requires_grad and weight.ndim >= 2
    ]


def depth_in_layers(module: nn.Module) -> int:
    """The number of layers that hold a trainable tensor with two axes or more."""
    return len({name for name, _, _ in layers(module)})


def number_of_layers(depth: str | int | None) -> int | None:
    """L as it was given; None where the tensors are to be counted.

    Raises:
        UsageError: it is no number of layers, or asks for a module.
    """
    if depth == "layers":
        raise UsageError("depth='layers' needs the module: build the optimizer with for_module, or give L as a number.")
    if depth is None or depth == "tensors":
        return None
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise UsageError(f"depth is {depth!r}; allowed: 'tensors', 'layers', or L as an integer of at least 1.")
    return depth
