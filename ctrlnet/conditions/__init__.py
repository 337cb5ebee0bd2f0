"""Conditions: control requirements as clauses, read alike by training, proof and run time."""

from ctrlnet.conditions.barrier import BarrierInvariance, NagumoInvariance
from ctrlnet.conditions.box_invariance import StayWithin
from ctrlnet.conditions.clauses import Clause, Condition
from ctrlnet.conditions.derivative import lie_derivative
from ctrlnet.conditions.discrete import DiscreteDecrease
from ctrlnet.conditions.exponential import ExponentialStability, decrease_margin
from ctrlnet.conditions.high_order import HighOrderInvariance
from ctrlnet.conditions.losses import Conjunction, Mean, asked, lack, mean_inside, trajectory_violation, violation
from ctrlnet.conditions.ultimate import UltimateBound

__all__ = [
    "BarrierInvariance",
    "Clause",
    "Condition",
    "Conjunction",
    "DiscreteDecrease",
    "ExponentialStability",
    "HighOrderInvariance",
    "Mean",
    "NagumoInvariance",
    "StayWithin",
    "UltimateBound",
    "asked",
    "decrease_margin",
    "lack",
    "lie_derivative",
    "mean_inside",
    "trajectory_violation",
    "violation",
]
