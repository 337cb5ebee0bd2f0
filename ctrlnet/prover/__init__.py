"""The prover: bounds over boxes, branch and bound, the equilibrium, certificates."""

from ctrlnet.prover.budget import Budget
from ctrlnet.prover.periods import longest_period
from ctrlnet.prover.positivity import prove
from ctrlnet.prover.search import Progress
from ctrlnet.prover.theorems import certify, claim_of, statement_of
from ctrlnet.prover.verdict import Leaves, Verdict

__all__ = ["Budget", "Leaves", "Progress", "Verdict", "certify", "claim_of", "longest_period", "prove", "statement_of"]
