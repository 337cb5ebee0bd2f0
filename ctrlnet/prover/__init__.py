"""The prover: bounds over boxes, branch and bound, the equilibrium, certificates."""

from ctrlnet.prover.budget import Budget
from ctrlnet.prover.coordinates import Coordinates
from ctrlnet.prover.kinds import claim_of
from ctrlnet.prover.periods import longest_period
from ctrlnet.prover.positivity import prove
from ctrlnet.prover.search import Progress
from ctrlnet.prover.theorems import certify, statement_of
from ctrlnet.prover.verdict import Leaves, Verdict

__all__ = [
    "Budget",
    "Coordinates",
    "Leaves",
    "Progress",
    "Verdict",
    "certify",
    "claim_of",
    "longest_period",
    "prove",
    "statement_of",
]
