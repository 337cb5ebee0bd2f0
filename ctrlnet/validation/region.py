"""Validation of a certified region: many trajectories, and what failed at the control rate again at a high one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol, SupportsFloat, final

import numpy as np

from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.sets import Box
from ctrlnet.simulation.display import load_mujoco
from ctrlnet.simulation.fleet import Simulations
from ctrlnet.simulation.functions import as_states, numpy_function, one_torch_thread
from ctrlnet.simulation.remembering import simulations
from ctrlnet.simulation.rollouts import Steps, enough_substeps
from ctrlnet.systems import System
from ctrlnet.tasks import Environment, Whole
from ctrlnet.types import Field, Margin
from ctrlnet.validation import wording
from ctrlnet.validation.claim import Claim
from ctrlnet.validation.figures import control_figures, decrease_figures, effort_figures, settle_figures
from ctrlnet.validation.flight import Pilot, fly
from ctrlnet.validation.flight_log import Fate, FlightLog
from ctrlnet.validation.gap import ModelGap, model_gap
from ctrlnet.validation.options import ValidationOptions
from ctrlnet.validation.result import Failure, Validation
from ctrlnet.validation.starting import starts
from ctrlnet.validation.storing import stored_trajectories


class Plant(Protocol):
    """What validation needs of an environment."""

    @property
    def system(self) -> System: ...
    @property
    def box(self) -> Box: ...
    @property
    def control_equilibrium(self) -> tuple[SupportsFloat, ...]: ...
    def twin(self) -> Twin | None: ...


@final
@dataclass(frozen=True)
class Bench:
    """A policy and its plant, ready to fly from states of the certified region: the twin, or else the equations."""

    system: System
    twin: Twin | None
    pilot: Pilot
    claim: Claim
    options: ValidationOptions

    def fleet(self, count: int, rate_hz: float, substeps: int) -> Simulations:
        """So many simulations of the plant."""
        return simulations(self.twin, self.system, count, period=1 / rate_hz, substeps=substeps)

    def gap(self, x: Array, u: Array, substeps: int) -> ModelGap | None:
        """The model gap over one period from the states x; None without a twin."""
        if self.twin is None:
            return None
        return model_gap(self.twin, self.system, x, u, period=1 / self.options.rate_hz, substeps=substeps)

    def fly(
        self, x0: Array, rate_hz: float, substeps: int, stored: int, progress: Callable[[float], None]
    ) -> FlightLog:
        """Trajectories from x0 at a control rate."""
        fleet, longest = self.fleet(len(x0), rate_hz, substeps), self.options.longest
        return fly(fleet, self.pilot, self.claim, x0, longest=longest, stored=stored, progress=progress)


@one_torch_thread()
def validate_region(
    environment: Plant,
    policy: Field,
    V: Margin,
    level: float,
    rate: float,
    box: Box | None = None,
    *,
    options: ValidationOptions | None = None,
    progress: Callable[[float], None] | None = None,
) -> Validation:
    """Put to the test in simulation:  from {x in box : V(x) <= level},  V(x(t)) <= e^(-rate t) V(x(0)).

    States are drawn uniformly over the region and flown with the control held between the instants of the control
    rate. One that leaves the region or does not converge as promised is flown again at a much higher rate: failing
    again, it contradicts the certificate; otherwise sampling, not the certificate, is to blame.

    The twin is simulated in MuJoCo; an environment without one is simulated by its own equations. A policy with an
    internal state z moves it beside the simulator, once a period; x is then the joint (x, z), and every trajectory
    starts with z at rest, from a state drawn uniformly over {x : V(x, z*) <= level}.

    Args:
        environment: gives the plant, its twin, its box, u* and the policy's memory.
        policy: π, maps (..., n) to (..., m).
        V: maps (..., n) to (...,).
        level, rate: of the certificate, in units of V and 1/s.
        box: in which the region lies; None for the environment's.
        options: numbers of trajectories, rates, definitions.
        progress: told the share that is done, from 0 to 1.

    Raises:
        UsageError: the level or rate is not positive, or no state of the box has V <= level.
        NonFinite: the policy gives NaN or infinity.
    """
    started = time.perf_counter()
    whole: Plant | Whole = environment.whole if isinstance(environment, Environment) else environment
    options, box = options or ValidationOptions(), box or whole.box
    told = progress or (lambda share: None)
    bench = _bench(whole, environment.twin(), policy, V, level, rate, box, options)
    x0 = as_states(starts(V, level, box, whole.system.memory, options.count, options.seed))
    u0, made = bench.pilot.control(x0), partial(bench.fleet, len(x0), options.rate_hz)
    steps = enough_substeps(made, x0, u0, box.half_widths.numpy())
    gap = bench.gap(x0, u0, steps.count)
    log = bench.fly(x0, options.rate_hz, steps.count, options.stored, told)
    failures = _look_into(bench, x0, log)
    return _result(bench, log, steps, gap, failures, started)


def _bench(
    whole: Plant | Whole,
    twin: Twin | None,
    policy: Field,
    V: Margin,
    level: float,
    rate: float,
    box: Box,
    options: ValidationOptions,
) -> Bench:
    system = whole.system
    unlimited = np.full(system.m, np.inf)
    lower, upper = (-unlimited, unlimited) if system.limits is None else _corners(system.limits)
    rest = np.array([float(number) for number in whole.control_equilibrium])
    applied = system.m - (0 if system.memory is None else system.memory.size)
    pilot = Pilot(numpy_function(policy, (system.m,), "policy"), *(one[:applied] for one in (rest, lower, upper)))
    values = numpy_function(V, (), "V")
    claim = Claim(values, float(level), float(rate), *_corners(box), options.settled, options.slack)
    return Bench(system, twin, pilot, claim, options)


def _corners(box: Box) -> tuple[Array, Array]:
    return box.lower.numpy(), box.upper.numpy()


def _look_into(bench: Bench, x0: Array, log: FlightLog) -> tuple[Failure, ...]:
    """Repeat the failed trajectories, the worst first, at the high rate."""
    options = bench.options
    failed = np.flatnonzero((log.fate == Fate.LEFT) | (log.fate == Fate.SLOW))
    worst_first = failed[np.argsort(-log.ratio[failed], kind="stable")][: options.repeats]
    repeated: dict[int, Fate] = {}
    if len(worst_first):
        again = bench.fly(x0[worst_first], options.repeat_hz, 1, 0, lambda share: None).fate
        repeated = {int(one): Fate(int(fate)) for one, fate in zip(worst_first, again, strict=True)}
    looked_at = list(repeated) + [int(one) for one in np.flatnonzero(log.fate == Fate.UNFINISHED)][: options.repeats]
    return tuple(_failure(x0[one], Fate(int(log.fate[one])), repeated.get(one)) for one in looked_at)


def _failure(x0: Array, at_rate: Fate, repeated: Fate | None) -> Failure:
    verdicts = {
        None: "not repeated",
        Fate.LEFT: "contradiction",
        Fate.SLOW: "contradiction",
        Fate.SETTLED: "sampling",
        Fate.UNFINISHED: "undetermined",
    }
    again = None if repeated is None else repeated.name.lower()
    return Failure(x0.tolist(), at_rate.name.lower(), again, verdicts[repeated])


def _status(log: FlightLog, failures: tuple[Failure, ...]) -> str:
    verdicts = {one.verdict for one in failures}
    if (log.fate == Fate.SETTLED).all():
        return "confirmed"
    if "contradiction" in verdicts:
        return "contradicted"
    return "sampling effect" if verdicts == {"sampling"} else "undetermined"


def _result(
    bench: Bench,
    log: FlightLog,
    steps: Steps,
    gap: ModelGap | None,
    failures: tuple[Failure, ...],
    started: float,
) -> Validation:
    options, claim, system = bench.options, bench.claim, bench.system
    simulator = wording.EQUATIONS if bench.twin is None else f"MuJoCo {load_mujoco().__version__}"
    status, converged = _status(log, failures), int((log.fate == Fate.SETTLED).sum())
    return Validation(
        status=status,
        summary=wording.summary(status, converged, failures, options, simulator),
        level=claim.level,
        rate=claim.rate,
        count=options.count,
        converged=converged,
        failed=options.count - converged,
        failures=failures,
        repeat_hz=options.repeat_hz,
        control=control_figures(claim, options, steps),
        decrease=decrease_figures(log),
        settle=settle_figures(log),
        effort=effort_figures(log, bench.pilot),
        gap=None if gap is None else asdict(gap) | {"per_second": gap.per_second},
        definition=wording.definitions(options, system.memory),
        state=tuple((one.name, one.unit) for one in system.state),
        controls=tuple((one.name, one.unit) for one in system.control[: len(bench.pilot.rest)]),
        trajectories=stored_trajectories(log, bench.pilot),
        seed=options.seed,
        seconds=time.perf_counter() - started,
        simulator=simulator,
    )
