"""Validation in words."""

from __future__ import annotations

from ctrlnet.systems import Memory
from ctrlnet.validation.options import ValidationOptions
from ctrlnet.validation.result import Failure

EQUATIONS = "the equations of the model (no MuJoCo twin)"


def definitions(options: ValidationOptions, memory: Memory | None = None) -> dict[str, str]:
    """What the figures mean."""
    return {
        "states": _states(options, memory),
        "converged": f"V fell below {options.settled:g} of the level and stayed below it; the time to settle is when "
        "it fell below for the last time.",
        "failed": f"The state left the certified set, or V exceeded {options.slack:g} exp(-rate t) V(x(0)) before it "
        "had settled.",
        "worst_increase": "Largest change of V from one control instant to the next, as a share of the level.",
        "effort": "Integral of |u - u*|^2 dt until settled.",
        "gap": "Distance between MuJoCo's state and that of the analytic model after one control period under the same "
        "held control, both integrated finely.",
        "step_error": "Largest change of a state over one control period, in half widths of the box, when the physics "
        "steps of the simulation are halved.",
    }


def _states(options: ValidationOptions, memory: Memory | None) -> str:
    if memory is None:
        return f"{options.count} states drawn uniformly over the certified region, seed {options.seed}."
    names = ", ".join(name for name, _ in memory.state)
    return (
        f"{options.count} states of the plant drawn uniformly over those that the certified region holds together with "
        f"the policy's own state at rest, {names} = {', '.join(f'{rest:g}' for rest in memory.at.tolist())}, where it "
        f"starts; seed {options.seed}. The policy's own state takes one step of Euler's method a control period."
    )


def summary(
    status: str, converged: int, failures: tuple[Failure, ...], options: ValidationOptions, simulator: str
) -> str:
    """The outcome in one sentence."""
    kind = "simulated" if simulator == EQUATIONS else "MuJoCo"
    counted = f"{converged} of {options.count} {kind} trajectories converge at {options.rate_hz:g} Hz"
    high = f"{options.repeat_hz:g} Hz"
    again = {verdict: sum(one.verdict == verdict for one in failures) for verdict in ("contradiction", "sampling")}
    looked_at = sum(one.repeated is not None for one in failures)
    endings = {
        "confirmed": ".",
        "sampling effect": f"; all {looked_at} repeated ones of the others converge at {high}: an effect of sampling, "
        "which a higher control rate removes.",
        "contradicted": f"; {again['contradiction']} of {looked_at} that failed fail again at {high}: the certificate "
        "is contradicted. Either the simulator has another plant than the analytic model, or the certificate is false.",
        "undetermined": "; the others ran out of simulated time before their fate was known.",
    }
    return counted + endings[status]
