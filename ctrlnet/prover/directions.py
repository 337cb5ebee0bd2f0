"""Directions e from x* in which a claim fails most, for each of several distances: a random search, evidence alone.

A row u = (e, w) stands for the state x* + t half e, max |e_i| = 1, and the disturbance that divides the box D in the
shares w.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

DIRECTIONS = 256  # random ones an axis
DITHER = 1e-9  # of the axes: exactly on them a kink has both its slopes, beside them the worse one
MEMBERS, ROUNDS, MOVES = 64, 150, 16
STEPS = 0.3  # share of the moves that are random steps
ENOUGH, SECONDS = -1e-3, 0.5  # a score so low, or so long a time, ends the search
FINEST = 9  # steps are of sizes from 1 down to 10⁻⁹, all in one round: cones in which a claim fails may be thin


def worst_directions(score: Callable[[Tensor], Tensor], distances: int, n: int, k: int) -> tuple[Tensor, Tensor]:
    """Of each distance the row u found with the least score, (distances, n + k), and that score.

    Differential evolution (Storn and Price, J. Global Optimization 11, 1997, 341) of each distance's members apart.

    Args:
        score: maps rows (distances, count, n + k) to (distances, count); NaN counts as infinite.
        distances: how many, at least one; n, k: axes of x and of d.
    """
    started, generator, each = time.perf_counter(), torch.Generator().manual_seed(0), torch.arange(distances)[:, None]
    u = _first(n, k, generator).expand(distances, -1, -1)
    found, order = score(u).nan_to_num(torch.inf).sort(1)
    u, found = u[each, order[:, :MEMBERS]], found[:, :MEMBERS]
    for _ in range(ROUNDS):
        if bool((found.amin(1) < ENOUGH).all()) or time.perf_counter() - started > SECONDS:
            break
        tried = _scaled(u[:, :, None] + _moves(u, generator), n).flatten(1, 2)
        value, place = score(tried).nan_to_num(torch.inf).unflatten(1, (-1, MOVES)).min(2)
        better = value < found
        chosen = tried.unflatten(1, (-1, MOVES)).gather(2, place[..., None, None].expand(-1, -1, 1, n + k))[:, :, 0]
        u, found = torch.where(better[..., None], chosen, u), torch.where(better, value, found)
    found, place = found.min(1)
    return u[each[:, 0], place], found


def _moves(u: Tensor, generator: torch.Generator) -> Tensor:
    """Steps, and multiples of differences of two members, which lead along the kinks that these lie on."""
    shape = (*u.shape[:2], MOVES, 1)
    a, b = torch.randint(u.shape[1], (2, *shape), generator=generator).expand(-1, -1, -1, -1, u.shape[2])
    pool = u[:, :, None].expand(-1, -1, MOVES, -1)
    apart = pool.gather(1, a) - pool.gather(1, b)
    size = 10 ** (-FINEST * torch.rand(shape, generator=generator, dtype=torch.float64))
    steps = size * torch.randn(*shape[:3], u.shape[2], generator=generator, dtype=torch.float64)
    share = 2 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return torch.where(torch.rand(shape, generator=generator) < STEPS, steps, share * apart)


def _first(n: int, k: int, generator: torch.Generator) -> Tensor:
    """Random directions, and both of every axis."""
    axes = torch.cat((torch.eye(n, dtype=torch.float64), -torch.eye(n, dtype=torch.float64))).repeat(MEMBERS, 1)
    axes = axes + DITHER * torch.randn(axes.shape, generator=generator, dtype=torch.float64)
    e = torch.cat((axes, torch.randn(DIRECTIONS * n, n, generator=generator, dtype=torch.float64)))
    w = 2 * torch.rand(len(e), k, generator=generator, dtype=torch.float64) - 0.5  # half of them are 0 or 1
    return _scaled(torch.cat((e, w), 1), n)


def _scaled(u: Tensor, n: int) -> Tensor:
    e, w = u[..., :n], u[..., n:]
    return torch.cat((e / e.abs().amax(-1, keepdim=True), w.clamp(0.0, 1.0)), -1)
