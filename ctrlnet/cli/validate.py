"""`ctrlnet validate RUN`: run the policy in MuJoCo from states of the certified region."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ctrlnet.cli.console import Console, keeping
from ctrlnet.cli.settings import parse, require_positive
from ctrlnet.errors import RenderingUnavailable, UsageError

if TYPE_CHECKING:
    from ctrlnet.reports.records import Record
    from ctrlnet.tasks.rebuilding import Rebuilt
    from ctrlnet.validation import Validation

__all__ = ["ValidateSettings", "main", "validate_run"]

PER_CENT = 100


@dataclass(frozen=True)
class ValidateSettings:
    """Simulate the policy in MuJoCo from states drawn over the certified region; write validation.json, video.mp4."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""
    count: int = 1000
    """Trajectories."""
    rate_hz: float = 100.0
    """Control rate, with the control held in between [1/s]."""
    seed: int = 0
    """Seed of the states drawn."""
    video: Annotated[bool, arg(help="Write no video.mp4 of some of the trajectories.", help_behavior_hint="")] = True
    """Film some of the trajectories, where the task has a MuJoCo twin."""


def main(arguments: list[str], json: bool = False) -> int:
    """Validate as the arguments say; status 0 passed, 1 the simulation contradicts the certificate."""
    console = Console(json)
    settings = parse(ValidateSettings, arguments, "ctrlnet validate")
    require_positive(count=settings.count, rate_hz=settings.rate_hz)
    validation, darkness = validate_run(settings, console)
    console.say(validation.summary)
    if darkness:
        console.say(darkness)
    return 0 if validation.passed else 1


def validate_run(settings: ValidateSettings, console: Console) -> tuple[Validation, str]:
    """What the simulation showed, and why there is no video, empty when there is one.

    Raises:
        UsageError: nothing of the run is certified yet.
        RunDamaged: its certificate is another run's, or its record says otherwise.
    """
    from ctrlnet.runs import Run
    from ctrlnet.tasks import rebuild
    from ctrlnet.validation import ValidationOptions, validate_region

    rebuilt = rebuild(Run(settings.run))
    proved = first_certified(rebuilt)
    options = ValidationOptions(count=settings.count, rate_hz=settings.rate_hz, seed=settings.seed)
    with keeping(settings.run), console.progress("validate") as advance:
        validation = validate_region(
            rebuilt.environment,
            rebuilt.policy,
            rebuilt.conditions[proved.name].V,
            proved.level or 0.0,
            proved.rate or 0.0,
            rebuilt.statements[proved.name].box,
            options=options,
            progress=lambda share: advance(int(PER_CENT * share), PER_CENT),
        )
        path, video = settings.run / "validation.json", settings.run / "video.mp4"
        validation.save(path, certificate=proved.certificate)
        darkness = _film(rebuilt, validation, video) if settings.video else "No video was asked for."
        if not darkness:
            validation.save(path, certificate=proved.certificate, video=video)
    facts = {key: value for key, value in validation.as_dict().items() if key not in ("trajectories", "format")}
    console.event("validated", **facts, darkness=darkness or None)
    return validation, darkness


def first_certified(rebuilt: Rebuilt) -> Record:
    """The first statement of a run whose certificate the checker confirms now, with level and rate as it says.

    Raises:
        UsageError: there is none.
        RunDamaged: a certificate is another run's, or its record says otherwise.
    """
    from ctrlnet.reports.vouching import vouched

    records = vouched(rebuilt.run, rebuilt)
    proved = [record for record in records if record.status == "certified" and record.level and record.rate]
    if not proved:
        reasons = " ".join(record.reason for record in records if record.certificate)
        folder = rebuilt.run.path
        told = f"Nothing of the run {folder} is certified yet. {reasons}".rstrip()
        raise UsageError(f"{told} Do that first: ctrlnet certify {folder}")
    return proved[0]


def _film(rebuilt: Rebuilt, validation: Validation, path: Path) -> str:
    """Film into the run; where nothing can be rendered, the reason, with the packages to install."""
    from ctrlnet.validation import film

    path.unlink(missing_ok=True)
    if rebuilt.environment.twin() is None:
        return "No video: the task has no MuJoCo twin; it was simulated by the equations of the model."
    try:
        film(rebuilt.environment, rebuilt.policy, validation, path)
    except RenderingUnavailable as error:
        return f"No video: {error}"
    return ""
