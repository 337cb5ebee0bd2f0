"""Mechanisms: the MuJoCo twin of a plant."""

from ctrlnet.mechanisms.twin import Twin

__all__ = ["Twin"]
