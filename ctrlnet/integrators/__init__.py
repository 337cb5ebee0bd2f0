"""Integrators: the contract of a one-step or multistep method, `solve` and `odeint`, and Runge-Kutta tableaus."""

from ctrlnet.integrators.contract import Integrator, Step
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.integrators.solution import Dense, Solution
from ctrlnet.integrators.solving import odeint, solve
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.integrators.tableau import Tableau

__all__ = [
    "Dense",
    "Integrator",
    "RungeKutta",
    "Solution",
    "Step",
    "Tableau",
    "Tolerance",
    "odeint",
    "solve",
]
