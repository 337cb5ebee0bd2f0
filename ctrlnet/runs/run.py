"""A run: a folder that says what was trained, how, and how to rebuild it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ctrlnet.errors import RunDamaged
from ctrlnet.runs.document import NAME, document, read_document
from ctrlnet.runs.writing import digest_of, write_aside

if TYPE_CHECKING:
    from torch import Tensor

POLICY = "policy.safetensors"
METRICS = "metrics.csv"


@final
class Run:
    """A run folder, whose own files are compared with their hashes when it is opened.

        run.toml  policy.safetensors  candidates/NAME.safetensors  metrics.csv       written by training, hashed
        certificates/NAME.cert  validation.json  report.html  video.mp4              added by the other verbs

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        settings: what run.toml says: task, parameters, plug-ins with versions, training options.

    Raises:
        RunFormat: another version of the format.
        RunDamaged: no run, or a file that is missing, truncated or edited.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.settings, self._files = read_document(self.path / NAME)
        self.verify()

    def verify(self) -> None:
        """Compare every file that run.toml names with its hash.

        Raises:
            RunDamaged: one is missing or differs.
        """
        for name, wanted in self._files.items():
            path = self.path / name
            if not path.is_file():
                raise RunDamaged(f"{self.path} lacks {name}, which its {NAME} names. Restore it, or train again.")
            if digest_of(path) != wanted:
                raise RunDamaged(f"{path} was truncated or edited: its hash does not fit. Restore it, or train again.")

    @property
    def name(self) -> str:
        """Name of the task."""
        return str(self._task.get("name", ""))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the task."""
        return dict(self._task.get("parameters", {}))

    @property
    def origin(self) -> dict[str, Any]:
        """Where the task comes from: `importable`; then `kind`, `distribution`, `version`, `value` of the plug-in.

        Of an environment that is no plug-in, `kind` "object" and `value`, its module:object.
        """
        return dict(self._task.get("plugin", {}))

    @property
    def _task(self) -> dict[str, Any]:
        task: dict[str, Any] = self.settings.get("task", {})
        return task

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file that training wrote, by its name in the folder."""
        return dict(self._files)

    @property
    def candidate_names(self) -> list[str]:
        """Names of the candidates, sorted."""
        return sorted(Path(name).stem for name in self._files if name.startswith("candidates/"))

    @property
    def certificate_paths(self) -> dict[str, Path]:
        """The certificates that are there, by name."""
        return {path.stem: path for path in sorted((self.path / "certificates").glob("*.cert"))}

    def policy_weights(self) -> dict[str, Tensor]:
        """The policy's state_dict."""
        return self._weights(POLICY)

    def candidate_weights(self, name: str) -> dict[str, Tensor]:
        """A candidate's state_dict."""
        return self._weights(candidate_file(name))

    def _weights(self, name: str) -> dict[str, Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load

        if name not in self._files:
            raise RunDamaged(f"{self.path} has no {name}; it has {', '.join(self._files)}.")
        try:
            weights: dict[str, Tensor] = load((self.path / name).read_bytes())
        except (SafetensorError, OSError) as error:
            raise RunDamaged(f"{self.path / name} cannot be read: {error}") from error
        return weights

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, task={self.name!r})"


def candidate_file(name: str) -> str:
    """Where a candidate's weights are in a run folder."""
    return f"candidates/{name}.safetensors"


def write_run(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    policy: Mapping[str, Tensor],
    candidates: Mapping[str, Mapping[str, Tensor]],
    metrics: bytes,
) -> None:
    """Write the files of a run into a folder, run.toml last, so that a folder with a run.toml is whole.

    Args:
        folder: as `staged` gives it.
        settings: nested strings, numbers, booleans, lists; `task.name` at least.
        policy: state_dict.
        candidates: state_dict of each, by name.
        metrics: the bytes of metrics.csv.
    """
    files = {POLICY: _packed(policy), METRICS: metrics}
    files |= {candidate_file(name): _packed(weights) for name, weights in candidates.items()}
    for name, data in files.items():
        write_aside(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    write_aside(folder / NAME, document(settings, hashes))


def _packed(weights: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    data: bytes = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    return data
