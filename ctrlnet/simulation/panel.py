"""The words and bars of a video's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ctrlnet.mechanisms.twin import Array

PANEL_HEIGHT = 96

_INK, _GREY, _RAIL, _BLUE, _RED = (38, 44, 56), (118, 127, 142), (222, 227, 235), (41, 117, 217), (214, 69, 65)
_SATURATED = 0.999  # a share of the limit from which a control is drawn as saturated


@final
@dataclass(frozen=True)
class Legend:
    """The words of a video: a title, a caption for each trajectory, name and unit of each control."""

    title: str = ""
    captions: tuple[str, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()


@final
class Panel:
    """Draws title, time, captions and control bars on frames of `copies` scenes.

    Args:
        legend: the words.
        copies: number of trajectories.
        width: [pixels] of the frame.
        top: [pixels] where the panel starts, below the scene.
        limits: largest |u| of each control, (m,).
    """

    def __init__(self, legend: Legend, copies: int, width: int, top: int, limits: Array) -> None:
        self.legend, self.copies, self.width, self.top, self.limits = legend, copies, width, top, limits
        self._large, self._small = _font(17), _font(13)

    def write(self, canvas: NDArray[np.uint8], t: float, u: Array, progress: float, speed: float) -> NDArray[np.uint8]:
        """The frame with everything written on it; u (copies, m), progress from 0 to 1."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(canvas)
        draw = ImageDraw.Draw(image)
        pace = "" if speed == 1 else f"  ({speed:g}× speed)"
        draw.text((18, 14), self.legend.title, font=self._large, fill=_INK)
        draw.text((self.width - 18, 14), f"t = {t:5.2f} s{pace}", font=self._large, fill=_INK, anchor="ra")
        for copy in range(self.copies):
            self._column(draw, copy, u[copy])
        bottom = self.top + PANEL_HEIGHT
        draw.rectangle((0, bottom - 4, self.width, bottom), fill=_RAIL)
        draw.rectangle((0, bottom - 4, int(self.width * progress), bottom), fill=_BLUE)
        return np.asarray(image)

    def _column(self, draw: Any, copy: int, u: Array) -> None:
        column = self.width / self.copies
        centre = int((copy + 0.5) * column)
        if copy < len(self.legend.captions):
            draw.text((centre, self.top + 8), self.legend.captions[copy], font=self._small, fill=_GREY, anchor="ma")
        room = (PANEL_HEIGHT - 36) // len(u)
        for row, (control, limit) in enumerate(zip(u, self.limits, strict=True)):
            self._bar(draw, (centre, self.top + 32 + row * room), int(0.36 * column), float(control), float(limit), row)

    def _bar(self, draw: Any, at: tuple[int, int], half: int, control: float, limit: float, row: int) -> None:
        """A bar from zero, at the middle, to u; the rail ends at the limits; red where saturated."""
        centre, y = at
        share = max(-1.0, min(1.0, control / limit))
        colour = _RED if abs(share) >= _SATURATED else _BLUE
        draw.rounded_rectangle((centre - half, y, centre + half, y + 8), 4, fill=_RAIL)
        left, right = sorted((centre, centre + int(half * share)))
        draw.rectangle((left, y, right, y + 8), fill=colour)
        draw.line((centre, y - 2, centre, y + 10), fill=_INK, width=1)
        name, unit = self.legend.controls[row] if row < len(self.legend.controls) else (f"u{row}", "")
        words = f"{name} = {control:+.2f} {unit}"
        draw.text((centre, y + 14), words, font=self._small, fill=colour if colour == _RED else _INK, anchor="ma")


def _font(size: int) -> Any:
    """DejaVu Sans as matplotlib ships it: it has the Greek letters."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)
