"""Videos of simulated trajectories, side by side, with what they are written below."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from ctrlnet.errors import UsageError
from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.painter import Image, Painter
from ctrlnet.simulation.panel import PANEL_HEIGHT, Legend, Panel
from ctrlnet.simulation.rollouts import Trajectories

_WIDTH, _SCENE_HEIGHT = 960, 336  # with the panel 960 x 432, multiples of 16 as H.264 likes them


@final
@dataclass(frozen=True)
class Playback:
    """How simulated time becomes video: frames a second, and simulated seconds a second of video."""

    fps: int = 25
    speed: float = 1.0


def render_video(
    twin: Twin,
    trajectories: Trajectories,
    path: Path | str,
    *,
    limits: Array,
    legend: Legend | None = None,
    playback: Playback | None = None,
) -> None:
    """Write an H.264 mp4 of all trajectories in a row, each with its controls as an arc and as a bar.

    The file is written aside and renamed, so that `path` is whole or absent.

    Args:
        twin: the model that was simulated.
        trajectories: what `rollout` returned; one copy of the twin a trajectory, five look best.
        path: the mp4.
        limits: largest |u| of each control, (m,), in its units; the length of a full bar.
        legend: the words; none by default.
        playback: frames a second and speed.

    Raises:
        RenderingUnavailable: no off-screen OpenGL here.
    """
    import imageio.v2 as imageio

    path, playback = Path(path), playback or Playback()
    if path.suffix != ".mp4":
        raise UsageError(f"The video's path is {str(path)!r}; its name must end in '.mp4'.")
    limits = np.asarray(limits, dtype=np.float64)
    copies = trajectories.x.shape[1]
    panel = Panel(legend or Legend(), copies, _WIDTH, _SCENE_HEIGHT, limits)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")
    try:
        with (
            Painter(twin, _WIDTH, _SCENE_HEIGHT, copies) as painter,
            imageio.get_writer(aside, fps=playback.fps, codec="libx264", quality=7, macro_block_size=16) as writer,
        ):
            _write_frames(writer, painter, panel, trajectories, playback)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _write_frames(writer: Any, painter: Painter, panel: Panel, trajectories: Trajectories, playback: Playback) -> None:
    """Append every frame; the control of a frame is the one held at its time."""
    end = float(trajectories.t[-1])
    frames = int(end * playback.fps / playback.speed) + 1
    for frame in range(frames):
        t = min(frame * playback.speed / playback.fps, end)
        k = min(int(np.searchsorted(trajectories.t, t + 1e-9, side="right")) - 1, len(trajectories.u) - 1)
        x, u = trajectories.x[k], trajectories.u[k]
        scene = painter.paint(x, u, panel.limits)
        canvas: Image = np.full((_SCENE_HEIGHT + PANEL_HEIGHT, _WIDTH, 3), 255, dtype=np.uint8)
        canvas[:_SCENE_HEIGHT] = scene
        writer.append_data(panel.write(canvas, t, u, t / end, playback.speed))
