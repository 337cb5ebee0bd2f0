"""Solving and its gradient over as many bare evaluations of the field: MLP 12-64-64-12, float32, one thread.

The floor is a chain y <- f(y) of bare, uncompiled evaluations of the batch and its backward pass, as many as the solver
makes. Where states of a batch finish before others and leave it, a second and lower floor has as many states in each
evaluation. All take turns in random order; a ratio is the median over the rounds of a time over its floor in the same
round. Processor time. The loss is the sum of squares at the end. Other work on the machine shares its caches, and
raises the ratios of what stores more than the floor. Memory that a run has given back stays with the process, so that
none pays for the pages of another.

torchdiffeq and torchode, where they are installed, take their turns in the same rounds, and their ratios are printed. A
batch of 256 van der Pol oscillators with one stiff among them is held against the stiff one alone plus the others.
"""

from __future__ import annotations

import importlib
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ctrlnet import Tolerance, odeint, solve

Run = Callable[[nn.Module, Tensor], Tensor]

ROUNDS, STEPS, TOLERANCE = 31, 50, Tolerance(relative=1e-6, absolute=1e-6)
SPAN = [0.0, 1.0]


class Row(NamedTuple):
    """One way to solve, the one that makes the same evaluations in plain steps, and the batch sizes."""

    name: str
    run: Run
    like: str = ""
    batches: tuple[int, ...] = (256, 16)


def ours(method: str, **options: Any) -> Run:
    """ctrlnet: rk4 in equal steps, dopri5 in its own."""
    how = {"step": 1 / STEPS} if method == "rk4" else {"tolerance": TOLERANCE}
    return lambda f, x: odeint(f, x, SPAN, method=method, **how, **options)[-1]


ROWS = [
    Row("rk4", ours("rk4")),
    Row("rk4 compiled", ours("rk4", compiled=True), "rk4"),
    Row("rk4 checkpoint", ours("rk4", gradient="checkpoint"), "rk4"),
    Row("rk4 checkpoint compiled", ours("rk4", gradient="checkpoint", compiled=True), "rk4"),
    Row("dopri5", ours("dopri5")),
    Row("dopri5 compiled", ours("dopri5", compiled=True), "dopri5", (256,)),
]
WANTED = [
    "rk4, batch 256",
    "rk4 compiled, batch 256",
    "rk4 checkpoint compiled, batch 256",
    "dopri5, batch 256",
    "dopri5 compiled, batch 256",
    "dopri5, batch 256, over as many states",
    "rk4, batch 16",
    "rk4 compiled, batch 16",
]


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    keep_memory()
    figures = dict[str, float]()
    for batch in (256, 16):
        found = table(batch)
        show(batch, found)
        for name, row in found.items():
            figures |= {f"{name}, batch {batch}": row.ratio, f"{name}, batch {batch}, over as many states": row.strict}
    return {name: figures[name] for name in WANTED} | stiff_in_a_batch()


def keep_memory() -> None:
    """Have the C library keep what is freed: it gives pages back above a bound that lies between the needs of the runs,
    and whoever is above it pays for new ones in every round, a tenth of its time. glibc's bound is twice the size of
    the largest block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), here one that nothing is written to."""
    torch.empty(24 << 20, dtype=torch.uint8)


def show(batch: int, found: dict[str, Timed]) -> None:
    for name, (ratio, strict, milliseconds, count) in found.items():
        print(
            f"  batch {batch:>3}  {name:<26} {ratio:6.3f} of {count:>3} evaluations, {strict:6.3f} of as many states",
            end="",
        )
        print(f"   {milliseconds:7.2f} ms")


class Timed(NamedTuple):
    """Ratios to the floor, and to that of as many states in each evaluation; time [ms]; evaluations of the field."""

    ratio: float
    strict: float
    milliseconds: float
    count: int


def table(batch: int) -> dict[str, Timed]:
    """What each row takes."""
    torch.manual_seed(0)
    f, x = network(), torch.randn(batch, 12)
    rows = {row.name: row.run for row in [*ROWS, *peers()] if batch in row.batches}
    likes = {row.name: row.like or row.name for row in [*ROWS, *peers()]}
    sizes = {name: evaluations(rows[likes[name]], f, x) for name in rows}
    for run in rows.values():  # graphs are made
        seconds(run, f, x)
    wholes = {name: (batch,) * len(size) for name, size in sizes.items()}
    floors = {size: chain(size) for size in {*sizes.values(), *wholes.values()}}
    turns: list[Any] = [*rows, *floors]
    rounds, order = list[dict[Any, float]](), random.Random(0)
    for _ in range(ROUNDS):
        order.shuffle(turns)  # what ran before leaves its mark on caches and memory
        rounds.append({one: seconds(rows[one] if one in rows else floors[one], f, x) for one in turns})

    def over(name: str, floor: tuple[int, ...]) -> float:
        return statistics.median(took[name] / took[floor] for took in rounds)

    return {
        name: Timed(
            over(name, wholes[name]),
            over(name, size),
            1e3 * statistics.median(took[name] for took in rounds),
            len(size),
        )
        for name, size in sizes.items()
    }


def network() -> nn.Module:
    f = nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 12))
    with torch.no_grad():
        for parameter in f.parameters():
            parameter.mul_(2)
    return f


def chain(sizes: tuple[int, ...]) -> Run:
    """The floor: y <- f(y) for so many states, one after another."""

    def run(f: nn.Module, x: Tensor) -> Tensor:
        for size in sizes:
            x = f(x if size == len(x) else x[:size])
        return x

    return run


def evaluations(run: Run, f: nn.Module, x: Tensor) -> tuple[int, ...]:
    """For how many states the field is evaluated, each time before the backward pass; the largest first."""
    rows = list[int]()
    with f.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].numel() // inputs[0].shape[-1])):
        run(f, x)
    return tuple(sorted(rows, reverse=True))


def seconds(run: Run, f: nn.Module, x: Tensor) -> float:
    """Of the processor, for the solution and its gradient."""
    f.zero_grad(set_to_none=True)
    started = time.thread_time()
    run(f, x).square().sum().backward()
    return time.thread_time() - started


def peers() -> list[Row]:
    """Those that are installed; a line says which are not."""
    rows = list[Row]()
    for name, of in (("torchdiffeq", torchdiffeq), ("torchode", torchode)):
        try:
            rows += of(importlib.import_module(name))
        except ImportError:
            if name not in _missing:
                _missing.append(name)
                print(f"  {name} is not installed: its rows are left out.")
    return rows


_missing: list[str] = []


def torchdiffeq(peer: Any) -> list[Row]:
    """Its rk4 is the 3/8 rule, four evaluations too; its dopri5 takes the same steps for all of the batch."""

    def solved(solver: Any, **options: Any) -> Run:
        t = torch.tensor(SPAN)
        return lambda f, x: solver(lambda _, y: f(y), x, t, **options)[-1]

    def adjoint(f: nn.Module, x: Tensor) -> Tensor:
        parameters = tuple(f.parameters())
        return solved(peer.odeint_adjoint, **fixed, adjoint_params=parameters)(f, x)

    fixed = {"method": "rk4", "options": {"step_size": 1 / STEPS}}
    own = {"method": "dopri5", "rtol": TOLERANCE.relative, "atol": TOLERANCE.absolute}
    return [
        Row("torchdiffeq rk4", solved(peer.odeint, **fixed)),
        Row("torchdiffeq rk4 adjoint", adjoint, "torchdiffeq rk4"),
        Row("torchdiffeq dopri5", solved(peer.odeint, **own)),
    ]


def torchode(peer: Any) -> list[Row]:
    """dopri5 with steps for each state of the batch."""

    def run(f: nn.Module, x: Tensor) -> Tensor:
        term = peer.ODETerm(lambda t, y: f(y))
        controller = peer.IntegralController(atol=TOLERANCE.absolute, rtol=TOLERANCE.relative, term=term)
        solver = peer.AutoDiffAdjoint(peer.Dopri5(term=term), controller)
        problem = peer.InitialValueProblem(y0=x, t_eval=torch.tensor(SPAN).expand(len(x), 2))
        return solver.solve(problem).ys[:, -1]

    return [Row("torchode dopri5", run)]


def stiff_in_a_batch() -> dict[str, float]:
    """x'' = m (1 - x^2) x' - x with m = 1, and m = 500 for one state of the batch; m is a constant of the state."""

    def field(x: Tensor) -> Tensor:
        q, p, m = x.unbind(-1)
        return torch.stack([p, m * (1 - q**2) * p - q, 0 * m], -1)

    generator = torch.Generator().manual_seed(0)
    start = torch.cat([2 + 0.1 * torch.randn(256, 2, generator=generator), torch.ones(256, 1)], -1).double()
    start[100, 1:] = torch.tensor([0.0, 500.0])
    stiff = torch.arange(256) == 100
    batches, times, steps = [start, start[stiff], start[~stiff]], [[], [], []], [None, None, None]
    for _ in range(7):
        for number, x0 in enumerate(batches):
            started = time.thread_time()
            steps[number] = solve(field, x0, [0.0, 2.0], method="dopri5", tolerance=TOLERANCE).sample_steps
            times[number].append(time.thread_time() - started)
    alone = torch.empty_like(steps[0])
    alone[stiff], alone[~stiff] = steps[1], steps[2]
    ratio = statistics.median(whole / (one + others) for whole, one, others in zip(*times, strict=True))
    print(f"  one stiff state takes {int(alone[stiff])} steps, the others at most {int(alone[~stiff].max())}")
    return {
        "one stiff of 256 / stiff alone + others alone": ratio,
        "states with the steps they take alone, of 256": float((alone == steps[0]).sum()),
    }


if __name__ == "__main__":
    for figure, value in measure().items():
        print(f"{figure:<50} {value:.4g}")
