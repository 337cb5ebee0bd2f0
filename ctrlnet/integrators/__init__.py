"""Integrators: the contract of a one-step or multistep method, `solve` and `odeint`, and Runge-Kutta tableaus."""

from ctrlnet.integrators.contract import Integrator, Step
from ctrlnet.integrators.dense import Dense
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.integrators.solution import Crossings, Solution
from ctrlnet.integrators.solving import odeint, solve
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.integrators.tableau import Tableau

__all__ = [
    "Crossings",
    "Dense",
    "Event",
    "Integrator",
    "RungeKutta",
    "Solution",
    "Step",
    "Tableau",
    "Tolerance",
    "odeint",
    "solve",
]
