"""The numbers that a rule keeps of the rows of tensors, on a CPU: all of a group at once."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import torch


class Rows:
    """What is kept of the rows of some tensors on a CPU, as NumPy sees it, and room for two numbers a row.

    In a small network an operation takes as long for ten rows as for a thousand, and to make a view of a tensor takes
    longer than to compute with it. So the rows of all tensors stand in one array, and views are kept from step to step.

    Attributes:
        norms: room for the norm of every row, a tensor like each moment.
        steps: 1/√v of every row, after `advance`.

    Args:
        states: of each tensor; "moment" is v, all of one dtype, and "step" is t.
    """

    def __init__(self, states: list[dict[str, Any]]) -> None:
        moments = [state["moment"] for state in states]
        sizes = [moment.numel() for moment in moments]
        norms, steps = (torch.zeros(sum(sizes), dtype=moments[0].dtype) for _ in range(2))
        self.norms, self.steps = (
            [piece.view_as(moment) for piece, moment in zip(flat.split(sizes), moments, strict=True)]
            for flat in (norms, steps)
        )
        self._norms, self._steps = norms.numpy(), steps.numpy()
        self._pieces = [piece.numpy().reshape(-1) for piece in self.norms]
        self._moments = [moment.numpy().reshape(-1) for moment in moments]
        self._times = [state["step"].numpy().reshape(1) for state in states]
        self._places = _places(states)

    def hold(self, states: list[dict[str, Any]]) -> bool:
        """Whether these are the states, and still where they were."""
        return self._places == _places(states)

    def squares(self) -> list[float]:
        """The sum over the rows of each tensor of their squared norms."""
        return [float(np.vdot(norms, norms)) for norms in self._pieces]

    def advance(self, beta: float) -> list[float]:
        """v ← β v + (1 − β) norm² + the smallest normal number, t ← t + 1; returns √(1 − βᵗ) of each tensor."""
        norms, room, v = self._norms, self._steps, np.concatenate(self._moments)
        np.multiply(norms, norms, out=room)
        room *= 1 - beta
        v *= beta
        v += room
        v += np.finfo(v.dtype).tiny
        np.reciprocal(np.sqrt(v, out=room), out=room)
        start = 0
        for moment, time in zip(self._moments, self._times, strict=True):
            moment[:] = v[start : start + len(moment)]
            start += len(moment)
            time += 1
        return [sqrt(1 - beta ** float(time[0])) for time in self._times]


def _places(states: list[dict[str, Any]]) -> list[int]:
    """Where in memory states are; views of a tensor are good as long as it is there."""
    return [place for state in states for place in (state["moment"].data_ptr(), state["step"].data_ptr())]
