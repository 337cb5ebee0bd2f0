"""Simulation in MuJoCo: fleets of twins, closed-loop rollouts, pictures."""

from ctrlnet.simulation.display import load_mujoco
from ctrlnet.simulation.equations import EquationFleet
from ctrlnet.simulation.fleet import Fleet, Simulations, compile_twin
from ctrlnet.simulation.functions import numpy_function
from ctrlnet.simulation.painter import Painter
from ctrlnet.simulation.panel import Legend
from ctrlnet.simulation.remembering import RememberingFleet, simulations
from ctrlnet.simulation.rollouts import Steps, Trajectories, enough_substeps, rollout
from ctrlnet.simulation.video import Playback, render_video

__all__ = [
    "EquationFleet",
    "Fleet",
    "Legend",
    "Painter",
    "Playback",
    "RememberingFleet",
    "Simulations",
    "Steps",
    "Trajectories",
    "compile_twin",
    "enough_substeps",
    "load_mujoco",
    "numpy_function",
    "render_video",
    "rollout",
    "simulations",
]
