"""The sections of words and numbers: theorems, validation, how to verify, provenance."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ctrlnet.reports import markup
from ctrlnet.reports.material import Material
from ctrlnet.reports.records import Record
from ctrlnet.reports.validations import validation_rows
from ctrlnet.reports.wording import certificate_rows, number, record_rows, seconds, unit_of_volume
from ctrlnet.runs import digest_of

__all__ = ["figures", "provenance", "theorems", "validation", "verify"]

NOT_TRACED = "The certificate names the hashes of this run's weights; its graphs were not compared with the run's: "


def theorems(material: Material) -> str:
    """Each statement in words, with its assumptions."""
    if not material.records:
        return markup.section("Theorem", markup.missing(f"Nothing is proved yet: ctrlnet certify {material.folder}"))
    return "\n".join(_theorem(material, record) for record in material.records)


def _theorem(material: Material, record: Record) -> str:
    tone = markup.TONES.get(record.status, "none")
    parts = [markup.quote(record.statement or "The prover gave no statement in words.", tone)]
    if record.status != "certified":
        parts.append(markup.paragraphs(_failure(record)))
    if material.obstacle and record.name in material.certificates:
        parts.append(markup.paragraphs(f"{NOT_TRACED}{material.obstacle}"))
    if record.assumptions:
        parts += ["<h3>What it assumes</h3>", markup.listing(record.assumptions)]
    return markup.section(_title("Theorem", material, record), *parts)


def figures(material: Material) -> str:
    """The figures of each statement, its certificate's file and hash."""
    unit = unit_of_volume(material.subject.plant_state) if material.subject else ""
    return "\n".join(_figures(material, record, unit) for record in material.records)


def _figures(material: Material, record: Record, unit: str) -> str:
    path = material.certificates.get(record.name)
    file = certificate_rows(path, material.folder) if path is not None else []
    return markup.section(_title("Numbers", material, record), markup.table([*record_rows(record, unit), *file]))


def _title(title: str, material: Material, record: Record) -> str:
    return title if len(material.records) == 1 else f"{title}: {record.name}"


def _failure(record: Record) -> str:
    if record.status == "falsified":
        point = ", ".join(f"{value:.6g}" for value in record.counterexample or ())
        return f"This statement is false: it fails at the state ({point})." if point else "This statement is false."
    return f"This statement is neither proved nor refuted. {record.reason}".strip()


def validation(material: Material) -> str:
    """Figures of the simulation."""
    if material.validation is None:
        return markup.section(
            "Validation in simulation", markup.missing(material.stale or "Not validated in simulation.")
        )
    intro = (
        "The theorem is about the model with a continuous control. Simulation is evidence about what it leaves out: "
        "the hold of the control between two samples, and a plant told independently as a MuJoCo model, whose gap to "
        "the analytic model is measured."
    )
    rows = markup.table(validation_rows(material.validation))
    defined = [f"{name.replace('_', ' ')}: {text}" for name, text in material.validation.get("definition", {}).items()]
    meaning = ["<h3>What these mean</h3>", markup.listing(defined)] if defined else []
    return markup.section("Validation in simulation", markup.paragraphs(intro), rows, *meaning)


def verify(material: Material) -> str:
    """How a reader confirms the certificate without trusting this page."""
    if not material.certificates:
        return ""
    names = [path.relative_to(material.folder).as_posix() for path in material.certificates.values()]
    lines = [f"python -m ctrlnet.checker {name}" for name in names]
    lines += [f"ctrlnet check {name} --against ." for name in names]
    told = (
        "In the run's folder. The first line needs numpy only: the checker shares no code with the prover. The second "
        "traces the run's policy and model again and compares them with the certificate's."
    )
    return markup.section("Confirm it yourself", markup.paragraphs(told), markup.code_block("\n".join(lines)))


def provenance(material: Material, versions: Iterable[tuple[str, str]]) -> str:
    """Versions, plug-ins, hashes of files."""
    settings = {key: value for key, value in material.settings.items() if key != "versions"}
    training = dict(settings.get("training", {}))
    recipe, trained = training.pop("recipe", {}), material.settings.get("versions", {})
    files = [(path.relative_to(material.folder).as_posix(), digest_of(path)) for path in _files(material.folder)]
    return markup.section(
        "Provenance",
        "<h3>Settings</h3>",
        markup.table(_flat({**settings, "training": training})),
        markup.details("Recipe of the training", markup.table(_flat(recipe))),
        "<h3>Versions</h3>",
        markup.table([("trained with", _listed(trained.items())), ("page made with", _listed(versions))]),
        "<h3>SHA-256 of the run's files</h3>",
        markup.table(files),
    )


def _listed(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions)


def _files(folder: Path) -> list[Path]:
    patterns = ("run.toml", "policy.safetensors", "candidates/*.safetensors", "metrics.csv", "validation.json")
    return [path for pattern in (*patterns, "video.mp4") for path in sorted(folder.glob(pattern))]


def _flat(settings: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows `task.name`, hashes left to their own table."""
    if not isinstance(settings, dict):
        return [(prefix, seconds(settings) if prefix.endswith("seconds") and isinstance(settings, float)
                 else number(settings, 8) if isinstance(settings, float) else str(settings))]  # fmt: skip
    rows = []
    for key, value in settings.items():
        if key not in ("files", "importable"):
            rows += _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return rows
