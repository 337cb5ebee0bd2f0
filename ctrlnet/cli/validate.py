"""`ctrlnet validate RUN`: run the policy in MuJoCo from states of the certified region."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import parse
from ctrlnet.errors import RenderingUnavailable, UsageError
from ctrlnet.reports.leaves import corner, document_of

if TYPE_CHECKING:
    from ctrlnet.tasks.rebuilding import Rebuilt
    from ctrlnet.validation import Validation

__all__ = ["ValidateSettings", "main", "validate_run"]

PER_CENT = 100


@dataclass(frozen=True)
class ValidateSettings:
    """Simulate the policy in MuJoCo from states drawn over the certified region; write validation.json, video.mp4."""

    run: Positional[Path]
    """Folder of the run."""
    count: int = 1000
    """Trajectories."""
    rate_hz: float = 100.0
    """Control rate, with the control held in between [1/s]."""
    seed: int = 0
    """Seed of the states drawn."""
    video: bool = True
    """Film some of the trajectories, where the task has a MuJoCo twin."""


def main(arguments: list[str], json: bool = False) -> int:
    """Validate as the arguments say; status 0 passed, 1 the simulation contradicts the certificate."""
    console = Console(json)
    settings = parse(ValidateSettings, arguments, "ctrlnet validate")
    validation, darkness = validate_run(settings, console)
    console.say(validation.summary)
    if darkness:
        console.say(darkness)
    return 0 if validation.passed else 1


def validate_run(settings: ValidateSettings, console: Console) -> tuple[Validation, str]:
    """What the simulation showed, and why there is no video, empty when there is one.

    Raises:
        UsageError: nothing of the run is certified yet.
    """
    from ctrlnet.runs import Run
    from ctrlnet.tasks import rebuild
    from ctrlnet.validation import ValidationOptions, validate_region

    rebuilt = rebuild(Run(settings.run))
    name, level, rate = certified_level(settings.run)
    options = ValidationOptions(count=settings.count, rate_hz=settings.rate_hz, seed=settings.seed)
    with keeping(settings.run), console.progress("validate") as advance:
        validation = validate_region(
            rebuilt.environment,
            rebuilt.policy,
            rebuilt.conditions[name].V,
            level,
            rate,
            rebuilt.statements[name].box,
            options=options,
            progress=lambda share: advance(int(PER_CENT * share), PER_CENT),
        )
        validation.save(settings.run / "validation.json")
        darkness = _film(rebuilt, validation, settings) if settings.video else "No video was asked for."
    facts = {key: value for key, value in validation.as_dict().items() if key not in ("trajectories", "format")}
    console.event("validated", **facts, darkness=darkness or None)
    return validation, darkness


def certified_level(folder: Path) -> tuple[str, float, float]:
    """Name, level and rate of the run's first certificate.

    Raises:
        UsageError: there is none.
    """
    found = sorted((folder / "certificates").glob("*.cert"))
    if not found:
        raise UsageError(f"Nothing of the run {folder} is certified yet. Do that first: ctrlnet certify {folder}")
    statement = document_of(found[0])["statement"]
    level, rate = corner([statement["level"], statement["rate"]]).tolist()
    return found[0].stem, level, rate


def _film(rebuilt: Rebuilt, validation: Validation, settings: ValidateSettings) -> str:
    """Film into the run; where nothing can be rendered, the reason, with the packages to install."""
    from ctrlnet.validation import film

    path = settings.run / "video.mp4"
    path.unlink(missing_ok=True)
    if rebuilt.environment.twin() is None:
        return "No video: the task has no MuJoCo twin; it was simulated by its own equations."
    try:
        film(rebuilt.environment, rebuilt.policy, validation, path)
    except RenderingUnavailable as error:
        return f"No video: {error}"
    return ""
