"""Policies: functions from the state to the control."""

from ctrlnet.policies.feedback import Feedback

__all__ = ["Feedback"]
