"""The training loop."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.errors import NonFinite

_log = logging.getLogger("ctrlnet")

Row: TypeAlias = dict[str, float]
Progress: TypeAlias = Callable[[int, int, Row], object]


class Objective(Protocol):
    """What a training minimises: the sum of its terms."""

    def __call__(self, step: int, share: float) -> Mapping[str, Tensor]:
        """Scalar terms by name, for step 1, 2, ...; `share` of the training is over."""
        ...

    def watch(self) -> Mapping[str, float]:
        """Figures for the rows of metrics.csv."""
        ...

    def seek(self, count: int) -> int:
        """Look for violations among so many states, remember the worst, say how many there are."""
        ...


@final
@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimizer.
        warm_up: share of the steps over which the learning rate rises from a 25th to the optimizer's own; it then
            falls to nearly nothing along a cosine.
        clip: largest norm of the gradient; longer ones are shortened.
        rows: of metrics.csv.
        repairs: at most so many rounds that look for remaining violations and train on them.
        repair_steps: of a round, at a fifth of the learning rate.
        probe: states that a round looks at.
    """

    steps: int = 1500
    warm_up: float = 0.1
    clip: float = 1.0
    rows: int = 100
    repairs: int = 8
    repair_steps: int = 100
    probe: int = 131072

    @property
    def total(self) -> int:
        """Steps if every round is needed."""
        return self.steps + self.repairs * self.repair_steps

    def factor(self, step: int) -> float:
        """The learning rate at step 0, 1, ... relative to the optimizer's own."""
        if step >= self.steps:
            return 0.2 * _cosine((step - self.steps) % max(1, self.repair_steps) / max(1, self.repair_steps))
        rise = max(1.0, self.warm_up * self.steps)
        if step < rise:
            return 0.04 + 0.96 * step / rise
        return _cosine((step - rise) / max(1.0, self.steps - rise))

    def reports(self, step: int) -> bool:
        """Whether step 1, 2, ... gives a row: the first, the last, and every so many in between."""
        return step in (1, self.steps) or step % max(1, self.steps // self.rows) == 0


def fit(
    objective: Objective,
    parameters: Sequence[nn.Parameter],
    optimizer: Optimizer,
    schedule: Schedule,
    progress: Progress | None = None,
) -> list[Row]:
    """Minimise an objective, then repair what violations remain.

    Args:
        objective: gives the terms of each step.
        parameters: what the optimizer moves.
        optimizer: a torch optimizer.
        schedule: length and learning rate.
        progress: called with (step, steps, row) at every row; steps is the most there can be.

    Returns:
        rows of step, loss, its terms, what the objective watches, learning_rate, seconds.

    Raises:
        NonFinite: a term, the gradient or a weight is NaN or infinite; the message names the step and the term.
    """
    work = _Work(objective, parameters, optimizer, schedule, progress)
    work.go_on(schedule.steps)
    for round_ in range(schedule.repairs):
        violations = objective.seek(schedule.probe)
        _log.info("after step %d: %d of %d states violate", work.step, violations, schedule.probe)
        if violations == 0:
            break
        work.go_on(schedule.steps + (round_ + 1) * schedule.repair_steps)
    check_finite({f"weight {i}": weight.detach().sum() for i, weight in enumerate(parameters)}, work.step)
    return work.rows


class _Work:
    """A training under way."""

    def __init__(
        self,
        objective: Objective,
        parameters: Sequence[nn.Parameter],
        optimizer: Optimizer,
        schedule: Schedule,
        progress: Progress | None,
    ) -> None:
        self.objective, self.parameters, self.optimizer = objective, parameters, optimizer
        self.schedule, self.progress = schedule, progress
        self.rate = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
        self.step, self.rows, self.start = 0, list[Row](), perf_counter()

    def go_on(self, until: int) -> None:
        """Take steps up to and including number `until`."""
        while self.step < until:
            self.step += 1
            terms = self.objective(self.step, min(1.0, (self.step - 1) / self.schedule.steps))
            self._descend(terms)
            if self.schedule.reports(self.step) or self.step == until:
                self._report(terms)
            self.rate.step()

    def _descend(self, terms: Mapping[str, Tensor]) -> None:
        check_finite(terms, self.step)
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        length = nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        check_finite({"gradient": length}, self.step)
        self.optimizer.step()

    def _report(self, terms: Mapping[str, Tensor]) -> None:
        values = {name: term.item() for name, term in terms.items()}
        row = {"step": self.step, "loss": sum(values.values()), **values, **self.objective.watch()}
        row["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        row["seconds"] = perf_counter() - self.start
        self.rows.append(row)
        if self.progress is not None:
            self.progress(self.step, self.schedule.total, row)


def _cosine(share: float) -> float:
    """From 1 to nearly 0 as `share` goes from 0 to 1."""
    return 1e-5 + (1 - 1e-5) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def check_finite(terms: Mapping[str, Tensor], step: int) -> None:
    """Refuse NaN and infinity.

    Raises:
        NonFinite: naming step and term.
    """
    broken = [name for name, term in terms.items() if not bool(torch.isfinite(term.detach()).all())]
    if broken:
        values = ", ".join(f"{name} = {terms[name].detach().tolist()}" for name in broken)
        raise NonFinite(
            f"Training stopped at batch {step}: {values}. Nothing was written. Look for a division by zero or a "
            "logarithm in the dynamics or V, or lower the learning rate."
        )


def metrics_csv(rows: Iterable[Row]) -> bytes:
    """The rows as the bytes of metrics.csv, one header line, the columns of the first row."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["step"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.9g}" for name, value in row.items()} for row in rows)
    return text.getvalue().encode()
