"""Networks evaluated in the precision of the state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def at_precision(network: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The network as a function of tensors of `dtype`, its weights converted where theirs differs.

    float32 weights are float64 numbers too, so in float64 the function is that of the exact weights, which is what a
    proof is about. Rounding the state instead would make it a staircase.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    converted = {
        name: tensor.to(dtype)
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.dtype != dtype
    }
    if not converted:
        return network
    return lambda x: torch.func.functional_call(network, converted, (x,))


def wider(one: torch.dtype, other: torch.dtype) -> torch.dtype:
    """The floating-point type that holds the numbers of both; torch.promote_types, which a proof cannot trace."""
    if one == other:
        return one
    bits = torch.finfo(one).bits, torch.finfo(other).bits
    if bits[0] == bits[1]:  # float16 and bfloat16
        return torch.float32
    return one if bits[0] > bits[1] else other
