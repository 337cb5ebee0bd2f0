"""Runs: what a training leaves behind, as a folder of files that can be checked."""

from ctrlnet.runs.document import FORMAT
from ctrlnet.runs.folder import staged
from ctrlnet.runs.run import Run, write_run
from ctrlnet.runs.writing import digest_of, write_aside

__all__ = ["FORMAT", "Run", "digest_of", "staged", "write_aside", "write_run"]
