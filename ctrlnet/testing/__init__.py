"""Conformance kits: a plug-in author calls one function, ctrlnet's own tests call it on everything registered."""

from ctrlnet.testing.conformance import Outcome, Report
from ctrlnet.testing.environments import check_environment
from ctrlnet.testing.integrators import check_integrator
from ctrlnet.testing.optimizers import check_optimizer
from ctrlnet.testing.tasks import check_task

__all__ = ["Outcome", "Report", "check_environment", "check_integrator", "check_optimizer", "check_task"]
