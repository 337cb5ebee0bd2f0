"""The answers of a march in the shape of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctrlnet.integrators.dense import Dense
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.marching import Journey, Marched
from ctrlnet.integrators.sensitivity import event_times, moved
from ctrlnet.integrators.solution import STATUSES, Crossings, Solution
from ctrlnet.systems.fields import TimeField


def assembled(journey: Journey, times: Tensor, x0: Tensor, x: Tensor, marched: Marched, keep: bool) -> Solution:
    """The answers in the shape of the batch."""
    batch, n, count = x0.shape[:-1], x0.shape[-1], len(times)
    size = count * batch.numel()
    reached = int(marched.reached.max())
    states = x[:size].reshape(count, *batch, n)[:reached]
    shown = (times if times.ndim == 1 else times.reshape(count, *batch))[:reached]
    if times.requires_grad:
        along = shown.reshape(reached, *(1,) * len(batch), 1) if times.ndim == 1 else shown[..., None]
        states = torch.cat([states[:1], moved(journey.problem.rate, along[1:], states[1:])])
    if bool((marched.reached < reached).any()):
        instant = torch.arange(reached, device=x.device).reshape(-1, *(1,) * len(batch))
        states = states.masked_fill((instant >= marched.reached.reshape(batch))[..., None], math.nan)
    status = marched.status.reshape(batch)
    dense = None
    if keep and marched.moves:
        dense = Dense(journey.problem, marched.moves, batch, float(times.detach()[0].min()), _end(times, marched))
    return Solution(
        shown.detach() if not times.requires_grad else shown,
        states,
        STATUSES[int(status.max())],
        status,
        _crossings(journey, x[size:], marched, batch),
        dense,
        int(marched.steps.max()),
        int(marched.rejected.max()),
        marched.steps.reshape(batch),
    )


def _end(times: Tensor, marched: Marched) -> float:
    """How far the dense output goes [s]."""
    last, shared = marched.moves[-1], times.detach()
    if last.rows is None:
        return float(last.t) + float(last.h)
    ends = torch.cat([torch.as_tensor(move.t + move.h) for move in marched.moves])
    return float(ends.max() if bool((shared[-1] > shared[0]).all()) else ends.min())


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
