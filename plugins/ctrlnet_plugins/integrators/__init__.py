"""First-party integrators: each a tableau, or a few lines, and a citation."""

from __future__ import annotations

from ctrlnet_plugins.integrators.ab2 import AB2
from ctrlnet_plugins.integrators.ab3 import AB3
from ctrlnet_plugins.integrators.ars222 import ARS222
from ctrlnet_plugins.integrators.avf import AVF
from ctrlnet_plugins.integrators.bosh3 import Bosh3
from ctrlnet_plugins.integrators.dopri5 import Dopri5
from ctrlnet_plugins.integrators.dopri8 import Dopri8
from ctrlnet_plugins.integrators.euler import Euler
from ctrlnet_plugins.integrators.gauss4 import Gauss4
from ctrlnet_plugins.integrators.heun import Heun
from ctrlnet_plugins.integrators.imex_euler import IMEXEuler
from ctrlnet_plugins.integrators.implicit_midpoint import ImplicitMidpoint
from ctrlnet_plugins.integrators.lie import Lie
from ctrlnet_plugins.integrators.lm import LM
from ctrlnet_plugins.integrators.mccallum_foster import McCallumFoster
from ctrlnet_plugins.integrators.midpoint import Midpoint
from ctrlnet_plugins.integrators.ralston import Ralston
from ctrlnet_plugins.integrators.reversible_heun import ReversibleHeun
from ctrlnet_plugins.integrators.rk4 import RK4
from ctrlnet_plugins.integrators.rk38 import RK38
from ctrlnet_plugins.integrators.strang import Strang
from ctrlnet_plugins.integrators.symplectic_euler import SymplecticEuler
from ctrlnet_plugins.integrators.tsit5 import Tsit5
from ctrlnet_plugins.integrators.verlet import Verlet

__all__ = [
    "AB2",
    "AB3",
    "ARS222",
    "AVF",
    "LM",
    "RK4",
    "RK38",
    "Bosh3",
    "Dopri5",
    "Dopri8",
    "Euler",
    "Gauss4",
    "Heun",
    "IMEXEuler",
    "ImplicitMidpoint",
    "Lie",
    "McCallumFoster",
    "Midpoint",
    "Ralston",
    "ReversibleHeun",
    "Strang",
    "SymplecticEuler",
    "Tsit5",
    "Verlet",
]
