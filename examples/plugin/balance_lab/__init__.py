"""Plug-ins for ctrlnet by somebody else."""
