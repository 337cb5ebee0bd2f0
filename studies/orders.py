"""Error against step for every installed method: the pendulum from (1.2, 0.3), two seconds, equal steps, float64."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from pages import said, write_figure, write_table
from pendulum import integrator, pendulum, start
from torch import Tensor

import ctrlnet

PAGE = "integrator-studies"
DURATION = 2.0
STEPS = (5, 10, 20, 40, 80, 160, 320, 640)
QUOTED = 160  # h = 1/80
ROUNDING = 5e-13


class Convergence(NamedTuple):
    """Errors |x(2) - exact| for each number of steps, and evaluations of the field (or of both its parts) a step."""

    order: int
    errors: list[float]
    evaluations: float


def run(names: tuple[str, ...] = (), steps: tuple[int, ...] = STEPS) -> dict[str, float]:
    end = exact()
    found = {name: measured(name, end, steps) for name in names or ctrlnet.names("integrators")}
    ordered = dict(sorted(found.items(), key=lambda item: (item[1].order, item[1].errors[-1])))
    write_table("orders", [_row(name, one, steps) for name, one in ordered.items()], PAGE)
    write_figure("orders", figure(ordered, steps))
    return {f"slope less order, {name}": slope(steps, one.errors) - one.order for name, one in ordered.items()}


def exact() -> Tensor:
    return ctrlnet.odeint(pendulum("Field"), start(), [0.0, DURATION], method="dopri8", step=DURATION / 400)[-1]


def measured(name: str, end: Tensor, steps: tuple[int, ...]) -> Convergence:
    method = integrator(name)
    errors = [float((arrived(method, count)[0] - end).norm()) for count in steps]
    few, many = arrived(method, 10)[1], arrived(method, 20)[1]
    return Convergence(method.order, errors, (many - few) / 10)


def arrived(method: Any, steps: int) -> tuple[Tensor, int]:
    """The state after two seconds, and how often the field was asked."""
    calls = Calls()
    field = counted(pendulum(method.needs), calls)
    with torch.no_grad():
        x = ctrlnet.odeint(field, start(), [0.0, DURATION], method=method, step=DURATION / steps)[-1]
    return x, calls.count


class Calls:
    """How many there were."""

    count = 0


def counted(field: Any, calls: Calls) -> Any:
    """The field, counting evaluations: of a Separable the force, of a Split the second part, of an Energy gradients."""
    if isinstance(field, ctrlnet.Separable):
        return ctrlnet.Separable(lambda p: p, _counting(lambda q: -q.sin(), calls))
    if isinstance(field, ctrlnet.Split):
        return ctrlnet.Split(field.matrix, _counting(field.parts[1], calls))
    if isinstance(field, ctrlnet.Energy):
        field.potential.mean_gradient = _counting(type(field.potential)().mean_gradient, calls)
        return field
    return _counting(field, calls)


def _counting(function: Any, calls: Calls) -> Any:
    def wrapped(*arguments: Tensor) -> Tensor:
        calls.count += 1
        value: Tensor = function(*arguments)
        return value

    return wrapped


def slope(steps: tuple[int, ...], errors: list[float]) -> float:
    """The order between the two finest steps whose errors are above rounding."""
    rates = [
        math.log(errors[i] / errors[i + 1]) / math.log(steps[i + 1] / steps[i])
        for i in range(len(steps) - 1)
        if errors[i + 1] > ROUNDING
    ]
    return rates[-1] if rates else math.nan


def _row(name: str, found: Convergence, steps: tuple[int, ...]) -> dict[str, Any]:
    return {
        "method": name,
        "needs": integrator(name).needs,
        "order": found.order,
        "slope": said(slope(steps, found.errors)),
        "error at h = 1/80": f"{found.errors[steps.index(QUOTED)]:.1e}",
        "evaluations a step": f"{found.evaluations:.3g}",
    }


def figure(found: dict[str, Convergence], steps: tuple[int, ...]) -> Figure:
    sheet = Figure(figsize=(7, 4.4))
    axes = sheet.subplots()
    lengths = [DURATION / count for count in steps]
    for index, (name, one) in enumerate(found.items()):
        style = ("-", "--", ":")[index // 10 % 3]
        axes.loglog(lengths, one.errors, style, color=f"C{index % 10}", label=f"{name} ({one.order})", linewidth=1.2)
    axes.set(xlabel="step [s]", ylabel="error at t = 2 s", ylim=(1e-16, 3))
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return sheet
