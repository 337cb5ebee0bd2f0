"""Validation: what a certificate claims, put to the test in the simulator."""

from ctrlnet.validation.claim import Claim
from ctrlnet.validation.filming import film
from ctrlnet.validation.gap import ModelGap, model_gap
from ctrlnet.validation.options import ValidationOptions
from ctrlnet.validation.region import validate_region
from ctrlnet.validation.result import Validation

__all__ = ["Claim", "ModelGap", "Validation", "ValidationOptions", "film", "model_gap", "validate_region"]
