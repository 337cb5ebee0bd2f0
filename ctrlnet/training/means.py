"""Optimizer and random numbers of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ctrlnet import plugins
from ctrlnet.errors import NonFinite, UsageError


def optimizer_named(name: str, module: nn.Module, options: Mapping[str, Any]) -> Optimizer:
    """The optimizer plug-in of that name over the trainable parameters of a module.

    Raises:
        UsageError: an option that it does not take (NameNotFound: no such optimizer).
    """
    author = plugins.load("optimizers", name)
    try:
        if hasattr(author, "for_module"):
            optimizer: Optimizer = author.for_module(module, **options)
        else:
            optimizer = author([weight for weight in module.parameters() if weight.requires_grad], **options)
    except TypeError as cause:
        raise UsageError(f"The optimizer '{name}' does not take the options {dict(options)}: {cause}.") from cause
    return optimizer


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global random numbers start from `seed` within the block and go on as before after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def check_weights(module: nn.Module) -> None:
    """Refuse NaN and infinity in weights and buffers.

    Raises:
        NonFinite: naming them.
    """
    broken = [name for name, weight in module.state_dict().items() if not bool(torch.isfinite(weight).all())]
    if broken:
        raise NonFinite(f"NaN or infinity in the weights {', '.join(broken)}. Nothing was written.")
