"""The rows of a training: as metrics.csv, and for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, final

from ctrlnet.errors import UsageError
from ctrlnet.runs import naming, write_aside

Row: TypeAlias = dict[str, float]


def metrics_csv(rows: Iterable[Row]) -> bytes:
    """The rows as the bytes of metrics.csv, one header line, the columns of the first row."""
    rows = list(rows)
    columns = list(rows[0]) if rows else ["step"]
    return _lines([dict(zip(columns, columns, strict=True))], columns) + _lines(map(_shown, rows), columns)


def _shown(row: Row) -> dict[str, str]:
    return {name: f"{value:.9g}" for name, value in row.items()}


def _lines(rows: Iterable[dict[str, str]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@final
class Metrics:
    """metrics.csv as it grows, a line a row, and the same rows as TensorBoard's scalars where they are wanted.

    The file is for whoever looks at a training under way; what counts are the rows that the checkpoint holds, and
    `begin` brings the file into agreement with them.

    Args:
        folder: of the unfinished run.
        tensorboard: write folder/tensorboard too.

    Raises:
        UsageError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.csv"
        self._writer_of = _summary_writer() if tensorboard else None
        self._writer: Any = None
        self._columns: list[str] = []

    def begin(self, rows: Sequence[Row]) -> None:
        """Start with these rows, whatever the file says; TensorBoard drops what lies beyond them."""
        self._columns = list(rows[0]) if rows else []
        if rows or self.path.exists():
            write_aside(self.path, metrics_csv(rows))
        if self._writer_of is not None:
            after = int(rows[-1]["step"]) + 1 if rows else 0
            self._writer = self._writer_of(str(self.path.parent / "tensorboard"), purge_step=after)

    def add(self, row: Row) -> None:
        """One row more."""
        if not self._columns:
            self._columns = list(row)
            write_aside(self.path, metrics_csv([row]))
        else:
            with naming(self.path), self.path.open("ab") as file:
                file.write(_lines([_shown(row)], self._columns))
        if self._writer is not None:
            for name in row.keys() - {"step"}:
                self._writer.add_scalar(name, row[name], int(row["step"]))

    def close(self) -> None:
        """Flush what TensorBoard has not written yet."""
        if self._writer is not None:
            self._writer.close()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as cause:
        raise UsageError(
            f"TensorBoard was asked for and is not installed here ({cause}): pip install tensorboard, or leave the "
            "option out; metrics.csv has the same numbers."
        ) from cause
    return SummaryWriter
