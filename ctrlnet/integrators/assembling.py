"""The answers of a march in the shape of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctrlnet.integrators.dense import Dense
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.marching import Journey, Marched
from ctrlnet.integrators.sensitivity import event_times, moved, varied
from ctrlnet.integrators.solution import DONE, STATUSES, Crossings, Solution
from ctrlnet.systems.fields import TimeField


def assembled(
    journey: Journey, times: Tensor, x0: Tensor, x: Tensor, marched: Marched, keep: bool, plain: bool
) -> Solution:
    """The answers in the shape of the batch; without the derivatives of dense output where it is not `plain`."""
    batch, n, count = x0.shape[:-1], x0.shape[-1], len(times)
    size = count * batch.numel()
    least, reached = map(int, marched.reached.aminmax()) if batch.numel() else (count, count)
    states = x[:size].reshape(count, *batch, n)[:reached]
    shown = (times if times.ndim == 1 else times.reshape(count, *batch))[:reached]
    if varied(times):
        along = shown.reshape(reached, *(1,) * len(batch), 1) if times.ndim == 1 else shown[..., None]
        states = torch.cat([states[:1], moved(journey.problem.rate, along[1:], states[1:])])
    if least < reached:
        instant = torch.arange(reached, device=x.device).reshape(-1, *(1,) * len(batch))
        states = states.masked_fill((instant >= marched.reached.reshape(batch))[..., None], math.nan)
    status = marched.status.reshape(batch)
    dense = None
    if keep and marched.moves and batch.numel():
        flat = journey.problem if marched.moves[0].rows is None else journey.problem.in_batch(batch)
        dense = Dense(flat, marched.moves, batch, *_ends(journey, marched), not (plain and torch.is_grad_enabled()))
    return Solution(
        shown,
        states,
        STATUSES[int(status.max())] if batch.numel() else "done",
        status,
        _crossings(journey, x[size:], marched, batch) if journey.events else (),
        dense,
        int(marched.steps.max()) if batch.numel() else 0,
        int(marched.rejected.max()) if batch.numel() else 0,
        marched.steps.reshape(batch),
    )


def unmoved(x: Tensor) -> tuple[Tensor, Marched]:
    """The march of a batch without states, (..., n)."""
    none = torch.zeros(0, dtype=torch.int64, device=x.device)
    flat = x.reshape(0, x.shape[-1])
    return flat, Marched(flat, [], [], none, none, none, none)


def _ends(journey: Journey, marched: Marched) -> tuple[Tensor, Tensor]:
    """Where the dense output of each state begins and ends [s], (b,): at its last step, or within it at an event."""
    times = journey.instants[:, None] if journey.instants.ndim == 1 else journey.instants
    starts, ends = (one.expand(len(marched.status)).clone() for one in (times[0], times[-1]))
    last = marched.moves[-1]
    if last.rows is None:
        return starts, torch.full_like(ends, float(last.t) + float(last.h))
    cut = starts.clone()
    for move in marched.moves:
        cut[move.rows] = torch.as_tensor(move.t + move.h)[:, 0].detach().to(cut)
    ends = torch.where(marched.status == DONE, ends, cut)
    for found in marched.found:
        if journey.events[found.event].terminal:
            ends[found.rows] = found.t
    return starts, ends


def _crossings(journey: Journey, x: Tensor, marched: Marched, batch: torch.Size) -> tuple[Crossings, ...]:
    """The crossings of each event, in order for each state of the batch."""
    first = len(marched.status) * len(journey.instants)
    results = []
    for number, event in enumerate(journey.events):
        mine = [found for found in marched.found if found.event == number]
        rows = torch.cat([found.rows for found in mine]) if mine else marched.status.new_zeros(0)
        t = torch.cat([found.t for found in mine])[:, None] if mine else journey.instants.new_zeros(0, 1)
        states = x[torch.cat([found.slots for found in mine]) - first] if mine else x[:0]
        results.append(_ordered(event, journey.problem.rate, rows, t, states, batch))
    return tuple(results)


def _ordered(event: Event, rate: TimeField, rows: Tensor, t: Tensor, x: Tensor, batch: torch.Size) -> Crossings:
    if torch.is_grad_enabled() and len(x):
        later = event_times(event, rate, t, x)
        t, x = later, moved(rate, later, x)
    count = torch.bincount(rows, minlength=batch.numel())
    order = torch.argsort(rows, stable=True)  # steps come in the order of time already
    place = torch.arange(len(rows), device=rows.device) - (count.cumsum(0) - count)[rows[order]]
    most = int(count.max()) if len(rows) else 0
    slots = (place, rows[order])
    times = t.new_full((most, batch.numel()), math.nan).index_put(slots, t[order, 0])
    states = x.new_full((most, batch.numel(), x.shape[-1]), math.nan).index_put(slots, x[order])
    return Crossings(times.reshape(most, *batch), states.reshape(most, *batch, x.shape[-1]), count.reshape(batch))
