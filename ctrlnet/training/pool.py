"""States where the conditions are violated, kept to be trained on again."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ctrlnet.training.states import StateSampler

_PART = 16384  # states scored at once, to bound memory


@final
class HardStates:
    """A pool of states at which a score was high when it was last asked for.

    Violations that remain late in training are thin slivers which uniform sampling seldom meets; the pool remembers
    them. Half of the candidates of a refreshment are new, half lie near pool states, and uniform states replace some
    others, so that the pool neither forgets the rest of the box nor collapses to one sliver.

    Args:
        states: where new states come from.
        size: of the pool.
    """

    def __init__(self, states: StateSampler, size: int = 2048) -> None:
        self._states = states
        self._pool = states.uniform(size)

    @property
    def states(self) -> Tensor:
        """The pool, (size, n)."""
        return self._pool

    @states.setter
    def states(self, states: Tensor) -> None:
        self._pool = states.to(self._pool.device)

    def draw(self, count: int) -> Tensor:
        """States near those of the pool, (count, n)."""
        return self._states.around(self._pool[self._states.choose(len(self._pool), count)])

    def seek(self, score: Callable[[Tensor], Tensor], count: int) -> Tensor:
        """Fill the pool with the worst of many states, an eighth of them near the equilibrium.

        Args:
            score: maps (k, n) to (k,), larger where a state is worse.
            count: of states looked at.

        Returns:
            the pool, (size, n).
        """
        looked = torch.cat([self._states.uniform(count - count // 8), self._states.near(count // 8)])
        scores = torch.cat([score(part) for part in looked.split(_PART)])
        worst = scores.topk(min(len(self._pool), len(looked))).indices
        self._pool = looked[worst]
        return self._pool.clone()

    def refresh(self, score: Callable[[Tensor], Tensor]) -> None:
        """Take in the worst eighth of new candidates, as many as the pool is large.

        Args:
            score: maps (k, n) to (k,), larger where a state is worse.
        """
        size = len(self._pool)
        candidates = torch.cat([self._states.uniform(size - size // 2), self.draw(size // 2)])
        worst = candidates[score(candidates).topk(size // 8).indices]
        self._pool[self._states.choose(size, len(worst))] = worst
        fresh = self._states.uniform(size // 32)
        self._pool[self._states.choose(size, len(fresh))] = fresh
