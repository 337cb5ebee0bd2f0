"""What validation.json says, in words and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctrlnet.reports.wording import number, percent, quantity, seconds

__all__ = ["converged_text", "simulator_of", "validation_rows", "validation_status"]

Json = Mapping[str, Any]


def validation_status(validation: Json) -> bool:
    """Whether nothing in the simulation contradicts the certificate."""
    return validation.get("passed") is True


def simulator_of(validation: Json | None) -> str:
    """Name and version of what simulated."""
    return str((validation or {}).get("simulator", "a simulator"))


def converged_text(validation: Json) -> tuple[str, str]:
    """`1000 of 1000` and what it counts."""
    share = f"{validation['converged']} of {validation['count']}".replace(" ", "\N{NO-BREAK SPACE}")
    return share, "simulated trajectories from the certified region converge"


def validation_rows(validation: Json) -> list[tuple[str, str]]:
    """What the simulator showed, in words and units."""
    control, decrease, settle = validation["control"], validation["decrease"], validation["settle"]
    return [
        ("outcome", f"{validation['status']}: {validation['summary']}"),
        ("control rate", f"{quantity(control['rate_hz'], 'Hz')}, {control['hold']} hold"),
        ("physics step", f"{quantity(1e3 * control['physics_step'], 'ms')}, {control['substeps']} a control period"),
        ("worst change of V over a period", f"{percent(decrease['worst_increase'])} of the level"),
        ("largest V(x(t)) / bound", f"{number(decrease['worst_ratio'])} (1 is the certified bound)"),
        ("trajectories above the bound", str(decrease["above_bound"])),
        ("time to settle, median", seconds(settle["median"])),
        ("time to settle, 95 %", seconds(settle["p95"])),
        ("time to settle, longest", seconds(settle["longest"])),
        *_effort_rows(validation["effort"], validation["controls"]),
        *_gap_rows(validation["gap"], validation["state"]),
        ("simulator", f"{simulator_of(validation)}, seed {validation['seed']}, {seconds(validation['seconds'])}"),
    ]


def _effort_rows(effort: Json, controls: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    squared = f"({controls[0][1]})²\N{NO-BREAK SPACE}s" if len(controls) == 1 and controls[0][1] else ""
    peaks = [f"{name} {quantity(value, unit)}" for (name, unit), value in zip(controls, effort["peak"], strict=True)]
    return [
        ("control effort ∫|u − u*|² dt, mean", quantity(effort["mean"], squared)),
        ("control effort, 95 %", quantity(effort["p95"], squared)),
        ("largest control", ", ".join(peaks)),
        ("time with a control at its limit", percent(effort["saturated"])),
    ]


def _gap_rows(gap: Json | None, state: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    if gap is None:
        return []
    each = zip(state, gap["per_coordinate"], strict=True)
    worst = ", ".join(f"{name} {quantity(value, unit)}" for (name, unit), value in each)
    period = quantity(gap["period"], "s")
    return [
        (f"model gap: MuJoCo against the model after {period}, {gap['count']} states", f"at most {worst}"),
        ("disturbance of x' that would explain it", number(gap["per_second"])),
    ]
