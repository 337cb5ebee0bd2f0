"""What a condition asks of a system: its velocity, or its next state, as a function of the state alone.

Where there is a disturbance, one is drawn for every state (`ctrlnet.systems.draw`): a loss over such draws is evidence
for the worst case, as a loss over sampled states is, and the proof is over the whole box.
"""

from __future__ import annotations

from typing import Any

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box
from ctrlnet.systems import AnySystem, ClosedLoop, DiscreteMap, Disturbed, check_field, checked_velocity, draw
from ctrlnet.types import Field


def disturbance_of(system: Any) -> Box | None:
    """The box of the disturbance of a field; None where it has none."""
    return system.disturbance if isinstance(system, (Disturbed, ClosedLoop)) else None


def field_of(system: AnySystem, asker: str) -> Field:
    """The velocity (..., n) to (..., n) of a field, a closed loop or a disturbed field.

    Raises:
        UsageError: the system is a map, or no field; `asker` is who needs one.
    """
    if isinstance(system, DiscreteMap):
        raise UsageError(
            f"{asker} is about x' = F(x), and the system is a DiscreteMap, x⁺ = f(x). "
            "Conditions for a map are DiscreteDecrease and UltimateBound."
        )
    field: Any = system
    if (box := disturbance_of(system)) is not None:
        return lambda x: checked_velocity(field(x, draw(box, x)), x)
    check_field(field)
    return lambda x: checked_velocity(field(x), x)


def step_of(system: AnySystem, asker: str) -> Field:
    """The next state (..., n) to (..., n) of a map.

    Raises:
        UsageError: the system is no DiscreteMap; `asker` is who needs one.
    """
    if not isinstance(system, DiscreteMap):
        raise UsageError(
            f"{asker} is about x⁺ = f(x), and the system is {type(system).__name__!r}, not a DiscreteMap. Give "
            "ctrlnet.DiscreteMap(f), or take ExponentialStability or UltimateBound for a field x' = F(x)."
        )
    if system.disturbance is None:
        return lambda x: checked_velocity(system(x), x, "map")
    box = system.disturbance
    return lambda x: checked_velocity(system(x, draw(box, x)), x, "map")
