"""The linear systems (I - h L) y = r of methods that treat a linear part implicitly."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Shifted:
    """I - h L, factorized once: for all rows where they share h, for each of them where h is (..., 1).

    Args:
        matrix: L (n, n).
        h: a number, or a tensor without dimensions or of shape (..., 1).
    """

    def __init__(self, matrix: Tensor, h: float | Tensor) -> None:
        identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        self.shared = not (isinstance(h, Tensor) and h.ndim > 0)
        shift = h if self.shared or not isinstance(h, Tensor) else h.unsqueeze(-1)
        self.factors, self.pivots, self.info = torch.linalg.lu_factor_ex(identity - shift * matrix)

    def solve(self, right: Tensor) -> Tensor:
        """y (..., n) for r (..., n); NaN where the matrix is singular."""
        if self.shared:
            columns = right.reshape(-1, right.shape[-1]).mT
            y = torch.linalg.lu_solve(self.factors, self.pivots, columns).mT.reshape(right.shape)
        else:
            y = torch.linalg.lu_solve(self.factors, self.pivots, right.unsqueeze(-1)).squeeze(-1)
        return torch.where((self.info != 0).unsqueeze(-1), math.nan, y)
