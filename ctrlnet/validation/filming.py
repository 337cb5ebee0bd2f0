"""The video of a validation: a few of its trajectories, simulated again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ctrlnet.errors import UsageError
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation import Legend, Playback, Trajectories, render_video, rollout
from ctrlnet.types import Field
from ctrlnet.validation.region import Plant
from ctrlnet.validation.result import Stored, Validation

_COPIES = 5
_LONGEST = 3  # coordinates that fit a caption


def film(
    environment: Plant,
    policy: Field,
    validation: Validation,
    path: Path | str,
    *,
    title: str = "",
    seconds: float = 7.0,
) -> None:
    """Write an mp4 of five of the stored trajectories side by side, at the control rate of the validation.

    Long ones are played faster, by a whole factor that the picture names.

    Args:
        environment, policy: as given to `validate_region`.
        validation: its result.
        path: of the mp4.
        title: written on the picture; by default what was simulated.
        seconds: longest video [s].

    Raises:
        RenderingUnavailable: no off-screen OpenGL here.
    """
    twin = environment.twin()
    if twin is None or not validation.trajectories:
        raise UsageError("There is nothing to film: the environment has no twin, or no trajectory was stored.")
    chosen = _chosen(validation.trajectories)
    x0 = np.array([one.x0 for one in chosen])
    duration = 1.0 + max(_interesting(one) for one in chosen)
    speed = float(max(1, math.ceil(duration / seconds)))
    control = validation.control
    memory = x0.shape[1] - environment.system.n  # numbers of the policy's own state, which no picture shows
    flown = rollout(twin, policy, x0, duration, rate_hz=control.rate_hz, substeps=control.substeps, memory=memory)
    flown = Trajectories(flown.t, flown.x[..., : environment.system.n], flown.u[..., : environment.system.m])
    words = title or f"Certified policy in MuJoCo, control at {control.rate_hz:g} Hz"
    legend = Legend(words, tuple(_caption(validation, row) for row in x0), validation.controls)
    render_video(twin, flown, path, limits=_limits(environment, flown.u), legend=legend, playback=Playback(speed=speed))


def _chosen(stored: tuple[Stored, ...]) -> list[Stored]:
    """Those that started farthest out by V, from left to right."""
    far = sorted(stored, key=lambda one: -one.V[0])[:_COPIES]
    return sorted(far, key=lambda one: one.x0)


def _interesting(one: Stored) -> float:
    """[s] until the state stays within 2 % of its largest excursion from where it ends."""
    x = np.array(one.x)
    far = np.abs(x - x[-1]) > 0.02 * np.abs(x - x[-1]).max(0)
    moving = np.flatnonzero(far.any(-1))
    return one.t[min(int(moving[-1]) + 1, len(one.t) - 1)] if len(moving) else one.t[-1]


def _caption(validation: Validation, x0: Array) -> str:
    named = zip(validation.state, x0, strict=True)
    return "from " + ", ".join(f"{name} = {value:.1f}" for (name, _), value in list(named)[:_LONGEST])


def _limits(environment: Plant, u: Array) -> Array:
    """Largest |u| of each control by its limits, or as simulated where it has none."""
    limits = environment.system.limits
    if limits is None:
        return np.asarray(np.maximum(np.abs(u).max((0, 1)), 1e-12))
    return np.asarray(np.maximum(np.abs(limits.lower.numpy()), np.abs(limits.upper.numpy())))
