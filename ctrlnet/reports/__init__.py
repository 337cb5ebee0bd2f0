"""Reports: one self-contained HTML page a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrlnet.runs import Run

__all__ = ["report"]


def report(run: Run | Path | str) -> Path:
    """Write the report of a run, one self-contained page, into its folder.

    What the run does not have yet, a certificate, a validation, a video, the page says and how to get it. torch and
    matplotlib are imported only now, so that records can be read without them.

    Args:
        run: the run, or its folder.

    Returns:
        The page, RUN/report.html.

    Raises:
        RunDamaged: no run, or one of its files is truncated or edited.
        RunFormat: another version of the format.
    """
    from ctrlnet.reports.writing import written

    return written(run)
