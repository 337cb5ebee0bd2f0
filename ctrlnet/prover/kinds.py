"""Which claim a condition makes: of a field, a map, a sampled loop, or a plant whose control is still free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from ctrlnet.conditions import (
    BarrierInvariance,
    DiscreteDecrease,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    StayWithin,
    UltimateBound,
)
from ctrlnet.errors import UsageError
from ctrlnet.prover import decrease, invariance
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.existence import admissible_control
from ctrlnet.prover.sampled import sampled_stability
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop, DiscreteMap, Disturbed, System, Timed
from ctrlnet.systems.disturbance import misfit

Build = Callable[[Any, Any, Box, Any], Claim]

CLAIMS: dict[type, Build] = {
    ExponentialStability: decrease.exponential_stability,
    DiscreteDecrease: decrease.discrete_decrease,
    UltimateBound: decrease.ultimate_bound,
    BarrierInvariance: invariance.barrier,
    NagumoInvariance: invariance.nagumo,
    HighOrderInvariance: invariance.high_order,
    StayWithin: invariance.stay_within,
}
DISCRETE = (DiscreteDecrease, UltimateBound)
LEVELLED = (ExponentialStability, DiscreteDecrease, UltimateBound)


def claim_of(condition: Any, system: Any, box: Box, level: float | None = None) -> Claim:
    """The traced claim of one condition about one system; of a plant without policy, of a tuple of conditions too."""
    if not isinstance(box, Box):
        raise UsageError(f"box is {box!r}; give ctrlnet.Box(lower, upper).")
    claim = SYSTEMS.get(type(system), _of_field)(condition, system, box, level)
    return replace(claim, notes=_notes(system))


def _notes(system: Any) -> tuple[str, ...]:
    """What the states are, where a policy has some of its own."""
    memory = system.plant.memory if isinstance(system, ClosedLoop) else None
    if memory is None:
        return ()
    own, names = memory.size, [name for name, _ in system.plant.state]
    plant, policy = ", ".join(names[:-own]), ", ".join(names[-own:])
    rest = ", ".join(f"{value:g}" for value in memory.at.tolist())
    return (
        f"The state ({plant}, {policy}) joins the state ({plant}) of the plant with the internal state ({policy}) of "
        f"its policy, and the loop is their augmented loop. The statement holds for a policy that starts with "
        f"({policy}) = ({rest}) at the states ({plant}) for which ({plant}, {rest}) is in the set that it names.",
    )


def is_conjunction(condition: Any, system: Any) -> bool:
    """Whether there are several claims, each proved by itself. About a free control all conditions are one claim."""
    return isinstance(condition, (tuple, list)) and not isinstance(system, System)


def with_levels(condition: Any, level: float | None) -> list[tuple[Any, float | None]]:
    """The conditions of a conjunction; the level belongs to the one that has one."""
    conditions = flat(condition)
    levelled = [isinstance(part, LEVELLED) for part in conditions]
    if level is not None and sum(levelled) != 1:
        raise UsageError("level is for one condition with a level; this conjunction has none or several.")
    return [(part, level if has else None) for part, has in zip(conditions, levelled, strict=True)]


def flat(conditions: Sequence[Any]) -> list[Any]:
    """The conditions of a conjunction, those of conjunctions in it too."""
    found = [part for one in conditions for part in (flat(one) if isinstance(one, (tuple, list)) else [one])]
    if not found:
        raise UsageError("The conjunction has no conditions; give at least one.")
    return found


def _of_field(condition: Any, system: Any, box: Box, level: Any) -> Claim:
    build = CLAIMS.get(type(condition))
    if build is None:
        known = ", ".join(kind.__name__ for kind in CLAIMS)
        if isinstance(condition, type):
            raise UsageError(f"The condition is the class {condition.__name__}; give one of its kind, with arguments.")
        raise UsageError(
            f"certify proves {known}; got {type(condition).__name__}. For another margin use ctrlnet.prove."
        )
    if not callable(system):
        raise UsageError(
            f"The system is {system!r}; give a function F of the state, ClosedLoop, Disturbed, DiscreteMap."
        )
    if not isinstance(system, (Disturbed, DiscreteMap)) and (problem := misfit(system, 1)):
        raise UsageError(
            f"The system cannot be called with the state alone: {problem}. A disturbance or parameter d is given with "
            "its box, Disturbed(F, box); time is no argument, but may be one more state."
        )
    return build(condition, system, box, level)


def _of_map(condition: Any, system: DiscreteMap, box: Box, level: Any) -> Claim:
    if type(condition) in CLAIMS and not isinstance(condition, DISCRETE):
        known = ", ".join(kind.__name__ for kind in DISCRETE)
        raise UsageError(f"{type(condition).__name__} is about x' = F(x); of a DiscreteMap certify proves {known}.")
    return _of_field(condition, system, box, level)


def _of_loop(condition: Any, system: ClosedLoop, box: Box, level: Any) -> Claim:
    if system.period is None:
        return _of_field(condition, system, box, level)
    if not isinstance(condition, ExponentialStability):
        kind = type(condition).__name__
        raise UsageError(f"The loop has a hold period; certify proves ExponentialStability of it, not {kind}.")
    return sampled_stability(condition, system, box, level)


def _of_plant(condition: Any, system: System, box: Box, level: Any) -> Claim:
    return admissible_control(flat([condition]), system, box, level)


def _of_time(condition: Any, system: Timed, box: Box, level: Any) -> NoReturn:
    raise UsageError(
        f"certify proves statements about autonomous systems; got {system!r}, which depends on time. Give x' = F(x), "
        "with the time as a disturbance, Disturbed(F, box), or as one more state."
    )


SYSTEMS: dict[type, Build] = {System: _of_plant, ClosedLoop: _of_loop, DiscreteMap: _of_map, Timed: _of_time}
