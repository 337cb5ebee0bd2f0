"""The prover: bounds over boxes, branch and bound, the equilibrium, certificates."""

from ctrlnet.prover.budget import Budget
from ctrlnet.prover.positivity import prove
from ctrlnet.prover.stability import certify, statement_document, statement_loop
from ctrlnet.prover.verdict import Leaves, Verdict

__all__ = ["Budget", "Leaves", "Verdict", "certify", "prove", "statement_document", "statement_loop"]
