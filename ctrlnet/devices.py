"""Devices by name."""

from __future__ import annotations

import torch

from ctrlnet.errors import UsageError


def device_named(name: str) -> torch.device:
    """The torch device of that name, tried out.

    Raises:
        UsageError: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some make tensors without numbers
    except (RuntimeError, AssertionError, ImportError) as cause:
        reason = str(cause).splitlines()[0]
        unknown = reason.startswith("Expected one of")  # torch's list of every backend that it has ever heard of
        why = "torch knows no such device" if unknown else reason.rstrip(".")
        raise UsageError(
            f"The device {name!r} cannot be used: {why}. Allowed: cpu, or cuda where there is one."
        ) from cause
    return device
