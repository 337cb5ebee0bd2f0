"""The door through which mujoco is imported: it chooses an off-screen display first."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from ctrlnet.errors import RenderingUnavailable

APT_LINE = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_OFF = "disable"

_refusal: list[str] = []  # why the display asked for could not be had, once known


def load_mujoco() -> Any:
    """The module `mujoco`, imported now, with a display that can work here.

    MuJoCo reads MUJOCO_GL once, when it is imported. On Linux without a display, where the user set nothing, it is
    set to "egl". Where the display asked for cannot be loaded MuJoCo would refuse to be imported at all; then it
    is imported without rendering, so that everything but pictures works.
    """
    if sys.platform == "linux" and "mujoco" not in sys.modules and not any(map(os.environ.get, _DISPLAYS)):
        os.environ.setdefault("MUJOCO_GL", "egl")
    asked = os.environ.get("MUJOCO_GL")
    try:
        return import_module("mujoco")
    except (AttributeError, RuntimeError, OSError) as error:  # what mujoco's loaders of egl, osmesa and names raise
        return _import_without_display(asked, error)


def _import_without_display(asked: str | None, error: Exception) -> Any:
    os.environ["MUJOCO_GL"] = _OFF
    try:
        module = import_module("mujoco")
    finally:
        os.environ.pop("MUJOCO_GL") if asked is None else os.environ.update(MUJOCO_GL=asked)
    _refusal.append(f"MUJOCO_GL={asked!r} cannot be used ({type(error).__name__}: {error})")
    return module


def rendering_unavailable(error: BaseException | None = None) -> RenderingUnavailable:
    """The error to raise when no picture can be made here, with the reason and what to install or set."""
    reason = _refusal[0] if _refusal else f"MuJoCo could not open an off-screen display ({error!r})"
    return RenderingUnavailable(
        f"{reason}. On Debian and Ubuntu: '{APT_LINE}', with MUJOCO_GL unset or 'egl'. "
        "A program that imports mujoco before ctrlnet has to set MUJOCO_GL=egl itself. All but pictures works without."
    )
