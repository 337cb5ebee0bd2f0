"""Runs: what a training leaves behind, as a folder of files that can be checked."""

from ctrlnet.runs.document import FORMAT, NAME, UNFINISHED, read_document, unfinished
from ctrlnet.runs.folder import CHECKPOINTS, check_choice, clear_remains, holds_checkpoints, staged
from ctrlnet.runs.run import Run, write_run
from ctrlnet.runs.writing import digest_of, naming, write_aside

__all__ = [
    "CHECKPOINTS",
    "FORMAT",
    "NAME",
    "UNFINISHED",
    "Run",
    "check_choice",
    "clear_remains",
    "digest_of",
    "holds_checkpoints",
    "naming",
    "read_document",
    "staged",
    "unfinished",
    "write_aside",
    "write_run",
]
