"""Policies: functions from the state to the control."""

from ctrlnet.policies.dynamic import DynamicPolicy
from ctrlnet.policies.feedback import Feedback
from ctrlnet.policies.flow import FlowPolicy

__all__ = ["DynamicPolicy", "Feedback", "FlowPolicy"]
