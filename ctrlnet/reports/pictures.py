"""The sections of pictures: portraits, proofs, values, curves, film."""

from __future__ import annotations

from matplotlib.figure import Figure

from ctrlnet.reports import markup
from ctrlnet.reports.curves import control_curves, decrease_curves, state_curves, training_curves
from ctrlnet.reports.leaves import Leaves, leaves_of
from ctrlnet.reports.material import Material, trajectories_of
from ctrlnet.reports.planes import phase_portrait, policy_map, proof_map, value_map
from ctrlnet.reports.records import Record
from ctrlnet.reports.style import svg
from ctrlnet.reports.subject import Function, Plane, Subject
from ctrlnet.reports.validations import simulator_of

__all__ = ["controls", "film", "portraits", "proofs", "training", "trajectories"]

CONTROLS = 2
DARKNESS = (
    "'ctrlnet validate RUN' makes one where MuJoCo can render without a display "
    "(Debian and Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0)."
)


def portraits(material: Material) -> str:
    """Phase portraits, one a plane of coordinates and statement."""
    title, subject = "Phase portrait", material.subject
    if subject is None:
        return markup.section(title, markup.missing(f"No pictures: {material.obstacle or 'the run has no system.'}"))
    records: list[Record | None] = list(material.records) or [None]
    drawn = [_portrait(material, plane, record) for plane in subject.planes for record in records]
    return _section(title, drawn)


def _portrait(material: Material, plane: Plane, record: Record | None) -> str:
    paths = [one.x for one in trajectories_of(material.validation)]
    drawing = phase_portrait(plane, _V(plane.subject, record), _level(record), paths)
    told = [_slice_note(plane)]
    if _level(record) is not None:
        told.append("Every state of the shaded region is proved to converge to the equilibrium (+) inside the region.")
    if paths:
        told.append(
            f"Trajectories from states drawn at random over it, simulated by {simulator_of(material.validation)}."
        )
    name = f"phase-{record.name if record else 'none'}-{plane.i}{plane.j}"
    return markup.figure(svg(drawing, name, title_of(plane)), " ".join(filter(None, told)))


def title_of(plane: Plane) -> str:
    """What a plane shows, for readers aloud."""
    return f"{plane.labels[1]} over {plane.labels[0]}"


def proofs(material: Material) -> str:
    """The boxes of each proof beside the level sets of its V."""
    if material.subject is None:
        return ""
    drawn = []
    for record in material.records:
        document = material.document(record.name)
        for plane in material.subject.planes:
            if document is not None and "interior" in document.get("proof", {}):
                drawn.append(_proof(plane, record, leaves_of(document)))
            if (V := _V(material.subject, record)) is not None:
                drawn.append(_value(plane, record.name, V, _level(record)))
    return _section("The proof and its Lyapunov function", drawn)


def _proof(plane: Plane, record: Record, leaves: Leaves) -> str:
    drawing = proof_map(plane, leaves, _V(plane.subject, record), _level(record))
    told = (
        "The proof covers the whole box. On each proved box V > 0 and V decreases at the certified rate, by interval "
        "bounds with every rounding accounted for; excluded boxes lie outside the level; around the equilibrium, "
        "where V and its decrease vanish, enclosures of the Hessian of V and of the Jacobian of F decide."
    )
    name = f"proof-{record.name}-{plane.i}{plane.j}"
    return markup.figure(svg(drawing, name, title_of(plane)), " ".join(filter(None, (_slice_note(plane), told))))


def _value(plane: Plane, name: str, V: Function, level: float | None) -> str:
    drawing = svg(value_map(plane, V, level), f"value-{name}-{plane.i}{plane.j}", title_of(plane))
    return markup.figure(drawing, f"{_slice_note(plane)} Lyapunov function V: contours a factor of two apart.".strip())


def _policy(plane: Plane, place: int) -> str:
    name, unit = plane.subject.control[place]
    drawing = svg(policy_map(plane, place), f"policy-{place}-{plane.i}{plane.j}", title_of(plane))
    told = f"{_slice_note(plane)} Policy: {name}{f' in {unit}' if unit else ''}, blue positive, red negative."
    return markup.figure(drawing, told.strip())


def trajectories(material: Material) -> str:
    """V along trajectories against the certified bound, and the states."""
    stored = trajectories_of(material.validation)
    rate = next((record.rate for record in material.records if record.status == "certified"), None)
    told = "V along simulated trajectories, relative to its value at the start, against the certified bound."
    drawn = _curves("decrease", decrease_curves(stored, rate), told)
    if material.subject is not None:
        drawn += _curves("states", state_curves(stored, material.subject.state), "States along the same trajectories.")
    return _section("Along trajectories", drawn)


def controls(material: Material) -> str:
    """The policy over the state, and the controls over time with their limits."""
    subject = material.subject
    if subject is None:
        return ""
    drawn = [_policy(plane, place) for plane in subject.planes for place in range(min(CONTROLS, len(subject.control)))]
    told = "Controls along the trajectories, held between two samples of the controller, with their limits."
    stored = trajectories_of(material.validation)
    drawn += _curves("controls", control_curves(stored, subject.plant_control, subject.limits), told)
    return _section("Policy and controls", drawn)


def _curves(name: str, drawing: Figure | None, told: str) -> list[str]:
    return [] if drawing is None else [markup.figure(svg(drawing, name, told), told)]


def training(material: Material) -> str:
    """Curves of metrics.csv."""
    figure = training_curves(material.metrics)
    if figure is None:
        return ""
    steps = int(material.metrics["step"][-1])
    caption = f"Training, {steps:,} steps."
    return markup.section("Training", markup.figure(svg(figure, "training", caption), caption, "wide"))


def film(material: Material) -> str:
    """The video, or why there is none."""
    if material.video is None:
        return markup.section("Film", markup.missing(material.darkness or f"No film: {DARKNESS}"))
    return markup.section("Film", markup.video(material.video, "The policy in MuJoCo."))


def _section(title: str, drawn: list[str]) -> str:
    """Figures under a title, side by side where there are several; nothing without figures."""
    if not drawn:
        return ""
    return markup.section(title, *drawn) if len(drawn) == 1 else markup.section(title, markup.joined(*drawn))


def _V(subject: Subject, record: Record | None) -> Function | None:
    return None if record is None else subject.candidates.get(record.name)


def _level(record: Record | None) -> float | None:
    return record.level if record is not None and record.status == "certified" else None


def _slice_note(plane: Plane) -> str:
    return "A slice through the equilibrium; the other states are at their equilibrium values." if plane.sliced else ""
