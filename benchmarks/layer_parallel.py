"""Layer-parallel training steps (MGRIT) against one layer after the other: measured, and modelled for more processes.

    python benchmarks/layer_parallel.py --width 8 --batch 16                  # a row of docs/layer-parallel.md
    python benchmarks/layer_parallel.py --layers 256 --width 64 --batch 256 --processes 1
    python benchmarks/layer_parallel.py --layers 1024 --limits                # two rows of its other table

The network is x⁺ = x + h tanh(W_j x + b_j), W_j antisymmetric and damped, varying smoothly with j. A training step is
the states and the gradient of a loss of the last, in float64, one thread a process. Each figure is the least of some
rounds, in which the ways are timed in turn.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor

from ctrlnet import Pieces, layer_parallel

DURATION, ROUNDS = 4.0, 7
Weights = Mapping[str, Tensor]


class Case(NamedTuple):
    """A network, and how its layers are taken."""

    layers: int
    width: int
    batch: int
    coarsening: int
    iterations: int
    device: str

    @property
    def h(self) -> float:
        return DURATION / self.layers


class Costs(NamedTuple):
    """Seconds of one call for S layers, overhead + S work: of a step and of a step of the adjoint; of one message."""

    step: tuple[float, float]
    adjoint: tuple[float, float]
    message: float


class Shared(NamedTuple):
    """Seconds by the clock: a training step on several processes, on one of them layer by layer, and a message."""

    together: float
    alone: float
    message: float


def network(case: Case) -> tuple[dict[str, Tensor], Tensor]:
    """The weights of all layers, requiring gradients, and x0."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(case.width, case.width, generator=generator).double() for _ in range(2))
    angle = torch.linspace(0, math.pi, case.layers, dtype=torch.float64)[:, None, None]
    K = (torch.cos(angle) * one + torch.sin(angle) * other) / math.sqrt(case.width)
    W = K - K.mT - 0.2 * torch.eye(case.width, dtype=torch.float64)
    b = torch.zeros(case.layers, case.width, dtype=torch.float64)
    x0 = torch.randn(case.batch, case.width, generator=generator).double()
    return {name: w.to(case.device).requires_grad_() for name, w in (("W", W), ("b", b))}, x0.to(case.device)


def step(weights: Weights, x: Tensor, h: float) -> Tensor:
    """Some layers at once, x (S, batch, width)."""
    return torch.add(x, torch.tanh(torch.baddbmm(weights["b"].unsqueeze(-2), x, weights["W"].mT)), alpha=h)


def one_by_one(weights: Weights, x: Tensor, h: float) -> Tensor:
    """The last state, as a plain loop has it."""
    for W, b in zip(weights["W"].unbind(), weights["b"].unbind(), strict=True):
        x = torch.add(x, torch.tanh(torch.addmm(b, x, W.mT)), alpha=h)
    return x


def training_step(last: Callable[[], Tensor], weights: Weights) -> tuple[Tensor, ...]:
    """The gradients of the mean square of the last state."""
    return torch.autograd.grad(last().square().mean(), tuple(weights.values()))


def parallel(case: Case, weights: Weights, x0: Tensor, **options: Any) -> Tensor:
    """The states, many layers at once."""
    plan = {"h": case.h, "coarsening": case.coarsening, "iterations": case.iterations}
    return layer_parallel(step, weights, x0, **(plan | options))


def seconds(function: Callable[[], object], device: str) -> float:
    """Of the processor, which a busy machine does not lengthen; with a GPU, of the clock."""
    if device == "cpu":
        started = time.process_time()
        function()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def timed_in_turn(functions: Mapping[str, Callable[[], object]], device: str) -> dict[str, float]:
    """The least of some rounds, after one to warm up."""
    rounds = [{name: seconds(function, device) for name, function in functions.items()} for _ in range(ROUNDS + 1)]
    return {name: min(one[name] for one in rounds[1:]) for name in functions}


def costs(case: Case) -> Costs:
    """From one process: layer by layer, and what a second iteration takes more than one."""
    weights, x0 = network(case)
    held = {name: one.detach() for name, one in weights.items()}
    plans = {"serial": {"levels": 1}, "first": {"iterations": 1}, "second": {"iterations": 2}}
    calls: dict[str, Callable[[], object]] = {}
    for name, plan in plans.items():
        calls[f"forward {name}"] = lambda plan=plan: parallel(case, held, x0, **plan)
        calls[f"whole {name}"] = lambda plan=plan: training_step(
            lambda: parallel(case, weights, x0, **plan)[-1], weights
        )
    found = timed_in_turn(calls, case.device)
    forward = {name: found[f"forward {name}"] for name in plans}
    backward = {name: found[f"whole {name}"] - forward[name] for name in plans}
    return Costs(_fit(case, forward), _fit(case, backward), 0.0)


def _fit(case: Case, found: Mapping[str, float]) -> tuple[float, float]:
    points = case.layers // case.coarsening
    one = found["serial"] / case.layers
    many = (found["second"] - found["first"] - points * one) / (2 * case.coarsening + 1)
    work = max(many - one, 0) / (points - 1)
    return one - work, work


def modelled(case: Case, costs: Costs, count: int) -> float:
    """Seconds of a training step on `count` processes, two levels, FCF relaxation.

    A call for S layers costs a + S w. Forwards and backwards, the first guess takes C = N/m calls for one layer, one
    process after the other, and m - 1 for C/P; each iteration takes 2m + 1 for C/P, the C calls for one, and the
    messages: one a process for the relaxation, and one a process, after each other, for the coarse chain.
    """
    points = case.layers // case.coarsening
    total = costs.adjoint[0] + costs.adjoint[1] * case.layers / count  # the weights' gradient, all layers at once
    for overhead, work in (costs.step, costs.adjoint):
        one, some = overhead + work, overhead + work * points / count
        first = points * one + (case.coarsening - 1) * some + (count - 1) * costs.message
        total += first + case.iterations * (points * one + (2 * case.coarsening + 1) * some + count * costs.message)
    return total


def break_even(case: Case, costs: Costs, serial: float) -> tuple[int | None, int, float]:
    """The least number of processes that is faster than `serial`; the best number, and its speed-up."""
    points = case.layers // case.coarsening
    counts = [count for count in range(1, points + 1) if points % count == 0]
    times = {count: modelled(case, costs, count) for count in counts}
    best = min(times, key=lambda count: times[count])
    return next((count for count in counts if times[count] < serial), None), best, serial / times[best]


def piece(rank: int, case: Case, count: int, port: int, told: processes.SimpleQueue[Shared]) -> None:
    """One of several processes; the first tells what was measured."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo")
    whole, x0 = network(case)
    size = case.layers // count
    weights = {name: one[rank * size : (rank + 1) * size].detach().requires_grad_() for name, one in whole.items()}
    neighbours, share = Pieces(), float(rank == count - 1)

    def together() -> object:
        return training_step(lambda: share * parallel(case, weights, x0, neighbours=neighbours)[-1], weights)

    def alone() -> object:
        return training_step(lambda: one_by_one(whole, x0, case.h), whole) if rank == 0 else None

    def passed() -> None:
        for _ in range(50):
            neighbours.send(neighbours.receive(x0))

    found = [min(times) for times in zip(*(_walls((together, alone, passed)) for _ in range(3 * ROUNDS)), strict=True)]
    if rank == 0:
        told.put(Shared(found[0], found[1], found[2] / 50 / (count - 1)))
    dist.destroy_process_group()


def _walls(functions: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of the clock, from when all processes begin until all have ended."""
    found = []
    for function in functions:
        dist.barrier()
        started = time.perf_counter()
        function()
        dist.barrier()
        found.append(time.perf_counter() - started)
    return found


def on_processes(case: Case, count: int) -> Shared:
    """Measured on so many processes, by the clock."""
    told: processes.SimpleQueue[Shared] = processes.get_context("spawn").SimpleQueue()
    port = 20000 + os.getpid() % 20000
    processes.spawn(piece, (case, count, port, told), nprocs=count)
    return told.get()


def row(case: Case, count: int) -> str:
    """A row of the page's table."""
    weights, x0 = network(case)
    ways = {"one": lambda: one_by_one(weights, x0, case.h), "many": lambda: parallel(case, weights, x0)[-1]}
    exact, found = (training_step(way, weights) for way in ways.values())
    error = max(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True))
    times = timed_in_turn(
        {name: lambda way=way: training_step(way, weights) for name, way in ways.items()}, case.device
    )
    model, shared, serial = costs(case), "–", times["one"]
    if count > 1:
        several = on_processes(case, count)
        model = model._replace(message=several.message)
        shared = f"{several.alone / several.together:.2f} ({serial / modelled(case, model, count):.2f})"
    least, best, speed = break_even(case, model, serial)
    alone = f"{serial / times['many']:.2f} ({serial / modelled(case, model, 1):.2f})"
    cells = (
        *map(str, case[:5]),
        f"{error:.0e}",
        f"{1e3 * serial:.0f}",
        alone,
        shared,
        str(least),
        f"{speed:.1f} at {best}",
    )
    return f"| {' | '.join(cells)} |"


def limits(case: Case) -> str:
    """The model where a call costs its work alone, and where it costs its overhead alone, without messages.

    The chain takes one unit a layer forwards and two backwards; the adjoint three, since it evaluates the layer anew.
    """
    serial, lines = 3.0 * case.layers, []
    for name, found in (("work", Costs((0, 1), (0, 3), 0)), ("calls", Costs((1, 0), (3, 0), 0))):
        speeds = [serial / modelled(case, found, count) for count in (1, 2)]
        least, best, speed = break_even(case, found, serial)
        cells = (str(case.layers), str(case.coarsening), str(case.iterations), name, *(f"{one:.2f}" for one in speeds))
        lines.append(f"| {' | '.join((*cells, str(least), f'{speed:.1f} at {best}'))} |")
    return "\n".join(lines)


HEAD = (
    "| layers | width | batch | m | iterations | gradient error | one by one [ms] | speed-up, 1 process (model) "
    "| {} processes (model) | break-even processes | best in the model |"
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("layers", 1024), ("width", 8), ("batch", 16), ("coarsening", 16), ("iterations", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--processes", type=int, default=2, help="measured besides one; 1: only one")
    parser.add_argument("--limits", action="store_true", help="nothing measured: the model's two limits")
    parser.add_argument("--device", default="cpu", help="cuda: one process only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.processes if options.device == "cpu" else 1
    case = Case(*(getattr(options, name) for name in Case._fields))
    print(limits(case) if options.limits else f"{HEAD.format(count)}\n{row(case, count)}")
