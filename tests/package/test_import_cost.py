"""Importing ctrlnet, and asking the program for help, imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "mujoco", "cvxpy", "matplotlib", "gymnasium", "numpy", "imageio", "safetensors", "tyro")

LIGHT = {
    "import": "import ctrlnet; dir(ctrlnet)",
    "listing": "import ctrlnet; ctrlnet.names('integrators'); ctrlnet.names('environments')",
    "help": "from ctrlnet.cli import main; main(['--help'])",
    "plugins list": "from ctrlnet.cli import main; main(['plugins', 'list'])",
}


@pytest.mark.parametrize("script", LIGHT.values(), ids=LIGHT)
def test_nothing_heavy_is_imported(script):
    probe = f"{script}\nimport sys\nassert not set(sys.modules) & set({HEAVY}), set(sys.modules) & set({HEAVY})"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_plugins_are_not_imported_by_listing_them():
    probe = (
        "import sys, ctrlnet\n"
        "assert 'agd' in ctrlnet.names('optimizers') and 'pendulum' in ctrlnet.names('environments')\n"
        "assert not [name for name in sys.modules if name.startswith(('ctrlnet_plugins', 'ctrlnet_envs'))]"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
