"""MuJoCo without a display: physics always works, pictures work or say why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SIMULATE = """
import numpy as np
from simulation.plants import Pendulum, saturated
from ctrlnet.simulation import rollout
flown = rollout(Pendulum().twin(), saturated(3, 0.5), np.array([[1.0, 0.0]]), 5.0)
print("end", abs(flown.x[-1]).max() < 1e-3)
"""

PAINT = """
import os
import ctrlnet
from ctrlnet.simulation import Painter
try:
    with Painter(Pendulum().twin(), 64, 48) as painter:
        print("picture", painter.paint(np.zeros((1, 2))).shape)
except ctrlnet.RenderingUnavailable as error:
    print("unavailable", error)
print("MUJOCO_GL", os.environ.get("MUJOCO_GL"))
"""


def run(program: str, **environment: str | None) -> str:
    """What a fresh interpreter prints; None removes a variable."""
    variables = {**os.environ, "PYTHONPATH": str(TESTS), "DISPLAY": None, "WAYLAND_DISPLAY": None, **environment}
    kept = {name: value for name, value in variables.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", program], env=kept, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", ["osmesa", "broken", "disable", "glfw"])
def test_without_a_usable_backend_physics_works_and_pictures_say_what_to_install(backend):
    printed = run(SIMULATE + PAINT, MUJOCO_GL=backend)
    assert "end True" in printed
    if backend == "osmesa" and "picture (" in printed:
        pytest.skip("OSMesa is installed here")
    assert "unavailable" in printed
    assert "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0" in printed
    assert f"MUJOCO_GL {backend}" in printed  # what the user set is not changed


@pytest.mark.render
def test_egl_is_chosen_where_there_is_no_display_and_nothing_was_set():
    printed = run(SIMULATE + PAINT, MUJOCO_GL=None)
    assert "picture (48, 64, 3)" in printed
    assert "MUJOCO_GL egl" in printed


def test_a_display_or_a_setting_of_the_user_is_left_alone():
    choose = "from ctrlnet.simulation import load_mujoco; load_mujoco(); import os; print(os.environ.get('MUJOCO_GL'))"
    assert run(choose, MUJOCO_GL="disable").strip() == "disable"
    assert run(choose, MUJOCO_GL=None, DISPLAY=":99").strip() == "None"
