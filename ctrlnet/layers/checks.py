"""What policies and candidates ask of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctrlnet.errors import NonFinite, ShapeError, UsageError
from ctrlnet.sets import vector


def shape_of_network(network: nn.Module, n: int, m: int | None = None) -> Tensor:
    """Check that the network maps n numbers to m (any number when None) and has finite weights.

    Returns:
        an empty tensor of the dtype and device of the network's parameters, for `Tensor.to`.
    """
    like = next(network.parameters(), torch.empty(0, dtype=torch.float64)).detach().new_empty(0)
    broken = [name for name, weight in network.named_parameters() if not bool(torch.isfinite(weight).all())]
    if broken:
        raise NonFinite(f"NaN or infinity in the network's weights: {', '.join(broken)}.")
    try:
        with torch.no_grad():
            y = network(like.new_zeros(n))
    except RuntimeError as cause:
        raise ShapeError(f"The network fails on a state of shape ({n},) and {like.dtype}: {cause}") from cause
    if y.ndim != 1 or m not in (None, y.numel()):
        raise ShapeError(
            f"The network maps shape ({n},) to {tuple(y.shape)}; it must give ({'k' if m is None else m},)."
        )
    return like


def binary_scale(scale: Sequence[object] | Tensor | None, n: int) -> Tensor:
    """Reciprocals of n powers of two, float64 (n,); None gives ones.

    A product with a power of two is exact in floating point, so the scaled function is the same in real arithmetic.
    """
    if scale is None:
        return torch.ones(n, dtype=torch.float64)
    sizes = vector(scale, "scale", n)
    mantissas = torch.frexp(sizes).mantissa
    if not bool((mantissas == 0.5).all()):
        raise UsageError(f"scale is {sizes.tolist()}; every entry must be a positive power of two, such as 0.5 or 8.")
    return 1 / sizes
