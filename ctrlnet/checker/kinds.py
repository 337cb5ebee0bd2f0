"""The kinds of statements about one box: one row a kind."""

from __future__ import annotations

from ctrlnet.checker.admissible_control import AdmissibleControl
from ctrlnet.checker.barrier_invariance import BarrierInvariance
from ctrlnet.checker.discrete_decrease import DiscreteDecrease
from ctrlnet.checker.discrete_ultimate_bound import DiscreteUltimateBound
from ctrlnet.checker.exponential_stability import ExponentialStability
from ctrlnet.checker.high_order_invariance import HighOrderInvariance
from ctrlnet.checker.nagumo_invariance import NagumoInvariance
from ctrlnet.checker.positivity import Positivity
from ctrlnet.checker.sampled_stability import SampledStability
from ctrlnet.checker.statement import Statement
from ctrlnet.checker.stay_within import StayWithin
from ctrlnet.checker.ultimate_bound import UltimateBound

KINDS: dict[str, type[Statement]] = {
    "exponential_stability": ExponentialStability,
    "ultimate_bound": UltimateBound,
    "discrete_decrease": DiscreteDecrease,
    "discrete_ultimate_bound": DiscreteUltimateBound,
    "barrier_invariance": BarrierInvariance,
    "nagumo_invariance": NagumoInvariance,
    "high_order_invariance": HighOrderInvariance,
    "stay_within": StayWithin,
    "sampled_stability": SampledStability,
    "admissible_control": AdmissibleControl,
    "positivity": Positivity,
}
