"""Conditions: control requirements as clauses, read alike by training, proof and run time."""

from ctrlnet.conditions.clauses import Clause, Condition
from ctrlnet.conditions.derivative import lie_derivative
from ctrlnet.conditions.exponential import ExponentialStability, decrease_margin
from ctrlnet.conditions.losses import trajectory_violation, violation

__all__ = [
    "Clause",
    "Condition",
    "ExponentialStability",
    "decrease_margin",
    "lie_derivative",
    "trajectory_violation",
    "violation",
]
