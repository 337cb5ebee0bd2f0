"""`prove`: a margin is positive on the part of a box that side conditions leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.prover.budget import Budget, budget_of
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.conclusion import concluded
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.model import Model
from ctrlnet.prover.search import Progress, Search
from ctrlnet.prover.verdict import Verdict
from ctrlnet.prover.warm_start import trees_of
from ctrlnet.sets import Box

Margin = Callable[[Tensor], Tensor]


def prove(
    margin: Margin,
    box: Box,
    *,
    where: Sequence[Margin] = (),
    budget: Budget | None = None,
    start: Verdict | str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verdict:
    """Prove margin(x) > 0 for every x of the box with w(x) <= 0 for every w in `where`.

    Args:
        margin: maps (..., n) to (...), any torch function of the primitives, with torch.func.jvp or grad inside too.
        box: the region.
        where: side conditions, functions (..., n) to (...); none means the whole box.
        budget: limits of the search.
        start, progress: as for `certify`.

    Errors: UsageError, ShapeError, TraceError, NonFinite for what cannot be meant. A false claim is a verdict.
    """
    if not isinstance(box, Box):
        raise UsageError(f"box is {box!r}; give ctrlnet.Box(lower, upper).")
    if callable(where):
        raise UsageError("where is one function; give a sequence of them, as in where=(w,).")
    claim = _claim(margin, box, where)
    search = Search(claim.problem, budget=budget_of(budget), start=trees_of(start, claim), progress=progress)
    return concluded(claim, search, search.run(), None, {})


def _claim(margin: Margin, box: Box, where: Sequence[Any]) -> Claim:
    model = Model(box)
    positive = model.of_state("margin", margin)
    names = [f"where{i}" for i in range(len(where))]
    sides = tuple(model.of_state(name, w) for name, w in zip(names, where, strict=True))
    goal = Goal("interior", model.lower, model.upper, (positive,), sides)
    said = f" with {len(where)} side condition{'s' * (len(where) > 1)}" if where else ""
    words = f"margin(x) > 0 for every x in {box}{said}."
    return Claim("positivity", words, model, Problem(model.graph, (goal,)), {"where": names})
