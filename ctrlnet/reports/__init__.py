"""Reports: one self-contained HTML page a run; a figure of a proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ctrlnet.prover import Verdict
    from ctrlnet.runs import Run

__all__ = ["draw_proof", "report"]


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


def draw_proof(
    proof: Verdict | str | Path, axes: Sequence[int] = (0, 1), at: Any = None, path: str | Path | None = None
) -> Figure:
    """Draw the boxes of a proof by kind over two coordinates: proved, excluded, equilibrium, open.

    Thick lines around the box are the boxes on its faces. Of a certified statement the level sets that it names are
    drawn too, and the equilibrium; of another one the state that refutes it. A certified level is drawn with the state
    that stands in the way of a larger one, if it lies in the plane. A conjunction is drawn part by part, side by side;
    a proof in one coordinate over that coordinate and the values of its functions. Nothing is verified here.

    Args:
        proof: a verdict, decided or not, or the path of a certificate.
        axes: the two coordinates, counted from 0; those after the last state are disturbances.
        at: a state (n,), or state and disturbance (n + k,), through which the plane goes; None for the equilibrium, the
            state that refutes the statement, or the centre of the box.
        path: where to save the figure too, as PNG, SVG or PDF; None for nowhere.

    Returns:
        The figure, of matplotlib, which a notebook shows.

    Raises:
        UsageError: nothing to draw, no such coordinates, a point of the wrong shape, no certificate.
        RunDamaged: the certificate is truncated or edited.
    """
    from ctrlnet.reports.proof_figure import drawn

    return drawn(proof, axes, at, path)
