"""Optimizer and random numbers of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ctrlnet import plugins
from ctrlnet.errors import NonFinite, UsageError, nearest

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_SYNONYMS = {"learning_rate": "lr", "rate": "lr", "step_size": "lr"}  # too far apart to be found by their letters
_GIVEN = ("self", "module", "params")  # arguments that are no options


def optimizer_named(name: str, module: nn.Module, options: Mapping[str, Any]) -> Optimizer:
    """The optimizer plug-in of that name over the trainable parameters of a module.

    Raises:
        UsageError: an option, or a value of one, that it does not take (NameNotFound: no such optimizer).
    """
    author = plugins.load("optimizers", name)
    _require_options(name, options, optimizer_options(author))
    try:
        if hasattr(author, "for_module"):
            optimizer: Optimizer = author.for_module(module, **options)
        else:
            optimizer = author([weight for weight in module.parameters() if weight.requires_grad], **options)
    except (TypeError, ValueError, RuntimeError) as cause:  # whatever an author raises for a value
        reason = str(cause).rstrip(".")
        raise UsageError(f"The optimizer '{name}' does not take the options {dict(options)}: {reason}.") from cause
    return optimizer


def optimizer_options(author: Any) -> tuple[str, ...] | None:
    """The options that an optimizer takes by name; None where its signatures do not tell.

    `for_module` hands on to the constructor what it does not name, and a constructor to that of its base class.
    """
    found: dict[str, None] = {}
    for_module = getattr(author, "for_module", None)
    constructors = [vars(base)["__init__"] for base in getattr(author, "__mro__", ()) if "__init__" in vars(base)]
    for called in [for_module, *constructors] if for_module is not None else constructors:
        parameters = list(signature(called).parameters.values())
        found |= {one.name: None for one in parameters if one.kind in _BY_NAME and one.name not in _GIVEN}
        if not any(one.kind is Parameter.VAR_KEYWORD for one in parameters):
            return tuple(found)
    return None


def _require_options(name: str, options: Mapping[str, Any], allowed: tuple[str, ...] | None) -> None:
    """Refuse an option that does not exist, with the nearest one that does."""
    for option in options:
        if allowed is not None and option not in allowed:
            synonym = _SYNONYMS.get(option.lower())
            hint = f"Did you mean '{synonym}'?" if synonym in allowed else nearest(option, allowed)
            listing = f"Options: {', '.join(allowed) or 'none'}."
            parts = (f"The optimizer '{name}' has no option {option!r}.", hint, listing)
            raise UsageError(" ".join(filter(None, parts)))


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
