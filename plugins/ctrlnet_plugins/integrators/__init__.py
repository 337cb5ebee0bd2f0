"""First-party integrators: each a tableau and a citation."""

from __future__ import annotations

from ctrlnet_plugins.integrators.dopri5 import Dopri5
from ctrlnet_plugins.integrators.euler import Euler
from ctrlnet_plugins.integrators.rk4 import RK4

__all__ = ["RK4", "Dopri5", "Euler"]
