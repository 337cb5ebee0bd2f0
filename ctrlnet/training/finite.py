"""NaN and infinity, found and named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import NonFinite

ADVICE = "Look for a division by zero or a logarithm in the dynamics or V, or lower the learning rate."


def check_finite(terms: Mapping[str, Tensor], step: int) -> None:
    """Refuse NaN and infinity.

    Raises:
        NonFinite: naming step and term.
    """
    broken = {name: term.detach() for name, term in terms.items() if not bool(torch.isfinite(term.detach()).all())}
    if broken:
        raise NonFinite(_message(step, {name: term.tolist() for name, term in broken.items()}))


@final
class Watch:
    """Notices the first step with NaN or infinity.

    On the CPU that is told at once. On another device a look would make the host wait for it, so the first bad step
    and its terms are kept there until `look` asks.

    Args:
        deferred: wait for `look`.
    """

    def __init__(self, deferred: bool) -> None:
        self._deferred = deferred
        self._seen: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}  # first bad step (0: none) and its terms

    def see(self, terms: Mapping[str, Tensor], step: int) -> None:
        """Take in the terms of a step.

        Raises:
            NonFinite: one is NaN or infinite; where it is deferred, `look` raises that.
        """
        if not self._deferred:
            return check_finite(terms, step)
        names, values = tuple(terms), torch.stack([term.detach().double().reshape(()) for term in terms.values()])
        first, kept = self._seen.get(names, (torch.zeros((), dtype=torch.int64, device=values.device), values))
        new = (first == 0) & ~torch.isfinite(values).all()
        self._seen[names] = torch.where(new, step, first), torch.where(new, values, kept)
        return None

    def look(self) -> None:
        """Tell what was seen; the host waits for the device here.

        Raises:
            NonFinite: naming the first bad step and its terms.
        """
        found = {int(first): (names, kept) for names, (first, kept) in reversed(self._seen.items()) if int(first)}
        if found:
            step = min(found)
            names, kept = found[step]
            values = dict(zip(names, kept.tolist(), strict=True))
            raise NonFinite(_message(step, {name: one for name, one in values.items() if one - one != 0}))


def _message(step: int, broken: Mapping[str, object]) -> str:
    values = ", ".join(f"{name} = {value}" for name, value in broken.items())
    return f"Training stopped at batch {step}: {values}. {ADVICE}"
