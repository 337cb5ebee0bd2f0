"""Where to split a box: how much each axis contributes to what stands in the way of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctrlnet.prover.slope import Slope


def guide(margins: Sequence[Slope], others: Sequence[Slope], share: Tensor) -> Tensor:
    """A weight for every axis, (B, N): the smear |Aᵢ| of one form, and its remainder by the width of the axis.

    The form is the margin that is furthest from being proved where all are positive at the midpoint, and elsewhere what
    may exclude the box: V, or the side condition that is nearest to it. `share` holds relative widths, so that the
    remainder and a tenth of the smear keep slivers away.
    """
    slopes, floor = _doubt(others or margins, nearest=True)
    if margins and others:
        hopeful = torch.stack([(m.center[:, 0] > 0) & torch.isfinite(m.remainder[:, 0]) for m in margins]).all(0)
        own, own_floor = _doubt(margins, nearest=False)
        slopes, floor = torch.where(hopeful[:, None], own, slopes), torch.where(hopeful, own_floor, floor)
    slopes = slopes[:, : share.shape[1]]
    floor = (floor.nan_to_num(0.0, 0.0, 0.0) + 0.1 * slopes.sum(-1) + 1e-300)[:, None]
    return slopes + floor * share / share.sum(-1, keepdim=True).clamp(min=1e-300)


def _doubt(forms: Sequence[Slope], nearest: bool) -> tuple[Tensor, Tensor]:
    """|slopes| (B, n) and remainder (B,) of one of the forms: the nearest to being positive, or the furthest."""
    standing = torch.stack(
        [(form.range.lower[:, 0] / form.radius[:, 0].clamp(min=1e-300)).nan_to_num(-1e300) for form in forms]
    )
    chosen = standing.argmax(0) if nearest else standing.argmin(0)
    rows = torch.arange(standing.shape[1])
    slopes = torch.stack([form.slopes[:, :, 0].T for form in forms])[chosen, rows]
    remainder = torch.stack([form.remainder[:, 0] for form in forms])[chosen, rows]
    return slopes.abs().nan_to_num(0.0), remainder
