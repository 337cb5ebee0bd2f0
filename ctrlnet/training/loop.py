"""The training loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from signal import SIGTERM
from time import perf_counter
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.errors import NonFinite
from ctrlnet.training.checkpoint import (
    PLACE,
    Checkpoints,
    load_optimizer,
    load_weights,
    random_state,
    require_whole,
    restore_random,
)
from ctrlnet.training.descent import Descent, Loss
from ctrlnet.training.distributed import Processes
from ctrlnet.training.engine import Engine
from ctrlnet.training.finite import check_finite
from ctrlnet.training.metrics import Metrics, Row
from ctrlnet.training.packing import State
from ctrlnet.training.schedule import Schedule
from ctrlnet.training.signals import StopFlag, Stopped, stoppable

_log = logging.getLogger("ctrlnet")

Progress: TypeAlias = Callable[[int, int, Row], object]


class Objective(Loss, Protocol):
    """What a training minimises, and how it is watched and kept."""

    def watch(self) -> Mapping[str, float]:
        """Figures for the rows of metrics.csv."""
        ...

    def seek(self, count: int) -> int:
        """Look for violations among so many states, remember the worst, say how many there are."""
        ...

    def validate(self, count: int) -> int:
        """How many of so many fixed states violate; asked for only where the schedule has a patience."""
        ...

    def state_dict(self) -> State:
        """All that later steps depend on, generators included; asked for only with checkpoints."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Go on as the objective that gave the state."""
        ...


def fit(
    objective: Objective,
    parameters: nn.Module | Sequence[nn.Parameter],
    optimizer: Optimizer,
    schedule: Schedule,
    progress: Progress | None = None,
    *,
    engine: Engine = Engine(),  # noqa: B008  frozen
    checkpoints: Checkpoints | None = None,
    metrics: Metrics | None = None,
) -> list[Row]:
    """Minimise an objective, then repair what violations remain.

    Args:
        objective: gives the terms of each step.
        parameters: what the optimizer moves, or the module that holds it.
        optimizer: a torch optimizer over them.
        schedule: length and learning rate.
        progress: called with (step, steps, row) at every row; steps is the most there can be.
        engine: how it is carried out.
        checkpoints: where the training is kept, and what it goes on from; None keeps nothing.
        metrics: grows by every row.

    Returns:
        rows of step, loss, its terms, what the objective watches, learning_rate, seconds.

    Raises:
        NonFinite: a term, the gradient or a weight is NaN or infinite; the message names the step and the term.
        Stopped: SIGINT or SIGTERM came; the checkpoint after the last step is written.
        UsageError: the checkpoint to go on from does not fit.
    """
    module = parameters if isinstance(parameters, nn.Module) else nn.ParameterList(parameters)
    work = _Work(objective, module, optimizer, schedule, engine, checkpoints)
    work.listeners = (progress, metrics)
    if metrics is not None:
        metrics.begin(work.rows)
    try:
        with nullcontext(StopFlag()) if checkpoints is None else stoppable() as flag:
            work.run(flag)
    except NonFinite as cause:
        raise NonFinite(f"{cause} {_kept(checkpoints)}") from None
    finally:
        if metrics is not None:
            metrics.close()
    return work.rows


def _kept(checkpoints: Checkpoints | None) -> str:
    if checkpoints is None or checkpoints.newest is None:
        return "Nothing was written."
    return f"The last good checkpoint is kept: {checkpoints.newest}. Going on from it as it is would end here again."


class _Work:
    """A training under way."""

    listeners: tuple[Progress | None, Metrics | None] = (None, None)

    def __init__(
        self,
        objective: Objective,
        module: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        engine: Engine,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.objective, self.module, self.optimizer = objective, module, optimizer
        self.schedule, self.checkpoints, self.processes = schedule, checkpoints, Processes()
        self.descent = Descent(objective, module, optimizer, schedule.clip, engine, self.processes)
        self.step, self.skipped, self.rounds, self.clean = 0, 0, 0, 0
        self.rows, self.before, self.start = list[Row](), 0.0, perf_counter()
        rates = [group.get("lr") for group in optimizer.param_groups]
        self._own_rates = [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]
        if checkpoints is not None and checkpoints.found is not None:
            self._restore(checkpoints.found)
        self.processes.like_first([one.detach() for one in module.state_dict().values()])

    @property
    def place(self) -> int:
        """In the schedule; steps that an early end has left out count."""
        return self.step + self.skipped

    def run(self, flag: StopFlag) -> None:
        """Take all steps and rounds."""
        schedule = self.schedule
        while True:
            self._go_on(flag)
            if self.rounds == schedule.repairs:
                break
            violations = self.objective.seek(schedule.probe)
            _log.info("after step %d: %d of %d states violate", self.step, violations, schedule.probe)
            if violations == 0:
                break
            self.rounds += 1
        self._check_good()
        if signal := self._stop_asked(flag):  # it came when no step was left to take
            self._keep(signal)

    def _go_on(self, flag: StopFlag) -> None:
        """Take steps up to the end of the schedule or of the present round of repair."""
        while self.place < self._until:
            self._set_rates(self.schedule.factor(self.place))
            self.step += 1
            terms = self.descent(self.step, min(1.0, (self.place - 1) / self.schedule.steps))
            if self.schedule.reports(self.place) or self.place == self._until:
                self._report(terms)
            self._keep(self._stop_asked(flag))

    @property
    def _until(self) -> int:
        return self.schedule.steps + self.rounds * self.schedule.repair_steps

    def _set_rates(self, factor: float) -> None:
        for group, own in zip(self.optimizer.param_groups, self._own_rates, strict=True):
            if isinstance(own, Tensor):
                group["lr"].fill_(own * factor)
            elif own is not None:
                group["lr"] = own * factor

    def _report(self, terms: Mapping[str, Tensor]) -> None:
        self.descent.watch.look()
        values = {name: term.item() for name, term in terms.items()}
        row = {"step": self.step, "loss": sum(values.values()), **values, **self.objective.watch()}
        row["learning_rate"] = float(self.optimizer.param_groups[0].get("lr", 0.0))
        row["seconds"] = self._elapsed
        self.rows.append(row)
        self._end_early()
        progress, metrics = self.listeners
        if metrics is not None:
            metrics.add(row)
        if progress is not None:
            progress(self.step, self.schedule.total - self.skipped, row)

    def _end_early(self) -> None:
        """Leave the rest of the steps out once the validation states have shown no violation often enough."""
        if not self.schedule.patience or self.place >= self.schedule.steps:
            return
        violations = self.objective.validate(self.schedule.validation)
        self.clean = 0 if violations else self.clean + 1
        if self.clean >= self.schedule.patience:
            self.skipped = self.schedule.steps - self.step
            _log.info("no violation in the last %d rows: the steps end at %d", self.clean, self.step)

    def _stop_asked(self, flag: StopFlag) -> int:
        """The signal that any of the processes has got, looked at where nobody has to wait for it."""
        if self.processes.size == 1:
            return flag.number
        if self.descent.device.type != "cpu" and not self.schedule.reports(self.place):
            return 0
        asked = int(self.processes.sum(torch.tensor([flag.number], device=self.descent.device)))
        return flag.number or (SIGTERM if asked else 0)

    def _keep(self, signal: int) -> None:
        """Write a checkpoint where one is due or the training is to stop."""
        if self.checkpoints is None:
            return
        if self.processes.rank == 0 and (signal or self.checkpoints.due(self.step)):
            self._check_good()
            self.checkpoints.save(self.step, self._state())
        if signal:
            raise Stopped(f"The training was stopped after step {self.step}; nothing of it is lost.", signal)

    def _check_good(self) -> None:
        self.descent.watch.look()
        weights = {f"weight {name}": weight.detach().sum() for name, weight in self.module.named_parameters()}
        check_finite(weights, self.step)

    @property
    def _elapsed(self) -> float:
        return self.before + perf_counter() - self.start

    def _state(self) -> State:
        """Everything that the next step depends on."""
        return {
            "place": {name: getattr(self, name) for name in PLACE},
            "seconds": self._elapsed,
            "rows": self.rows,
            "weights": dict(self.module.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "rates": self._own_rates,
            "random": random_state(self.descent.device),
            "objective": self.objective.state_dict(),
        }

    def _restore(self, state: State) -> None:
        require_whole(state, "The checkpoint")
        for name in PLACE:
            setattr(self, name, state["place"][name])
        self.before, self.rows, self._own_rates = state["seconds"], list(state["rows"]), state["rates"]
        load_weights(self.module, state["weights"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        restore_random(state["random"], self.descent.device)
