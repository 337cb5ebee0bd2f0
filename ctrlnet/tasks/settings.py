"""What run.toml says of a training, and whether two trainings are the same."""

from __future__ import annotations

import logging
import platform
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ctrlnet import plugins
from ctrlnet.errors import UsageError
from ctrlnet.runs.toml import toml_text
from ctrlnet.tasks.origin import origin_of
from ctrlnet.tasks.task import Options, Task

_log = logging.getLogger("ctrlnet")
_VERSION = re.compile(r"versions\..*|(plugins\.\w+|task\.plugin)\.version")  # names of settings
_PACKAGES = ("ctrlnet", "torch", "numpy", "safetensors")


def settings_of(task: Task, options: Options, processes: int = 1) -> dict[str, Any]:
    """How to build the task again, how it is trained, with which versions; as TOML gives it back.

    Raises:
        UsageError: a parameter or number of the recipe that TOML cannot hold.
    """
    plugin = {
        kind: {"name": name, **plugins.provenance(f"{kind}s", name)}
        for kind, name in (("optimizer", options.optimizer), ("integrator", options.integrator))
    }
    training = {"seed": options.seed, "device": options.device, "processes": processes}
    settings = {
        "task": {"name": task.name, "parameters": task.parameters, "plugin": origin_of(task)},
        "training": {**training, "engine": options.engine.as_settings(), "recipe": task.recipe_settings()},
        "plugins": plugin,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }
    return tomllib.loads(toml_text(settings))


def require_same(kept: Mapping[str, Any], now: Mapping[str, Any], *, any_versions: bool = False) -> None:
    """Refuse to go on with another training than the one that was begun.

    Args:
        kept, now: settings of the training that was begun, and of this one.
        any_versions: warn of other versions only.

    Raises:
        UsageError: they differ; the message lists where.
    """
    told = dict(_differences(kept, now))
    versions = [one for path, one in told.items() if _VERSION.fullmatch(path)]
    if any_versions and versions:
        _log.warning("going on with other versions, not bit for bit: %s", "; ".join(versions))
        told = {path: one for path, one in told.items() if one not in versions}
    if told:
        hint = " Other versions alone can be allowed: any_versions=True, or --any-versions on the command line."
        raise UsageError(
            f"This is not the training that was begun: {'; '.join(told.values())}. Go on with the settings it was "
            "begun with, or begin anew: overwrite=True, or --overwrite."
            + hint
            * (len(versions) == len(told) and not any_versions)
        )


def _differences(kept: Any, now: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted names of the settings that differ, and what is said of each."""
    if isinstance(kept, Mapping) and isinstance(now, Mapping):
        for name in sorted(kept.keys() | now.keys()):
            yield from _differences(kept.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif kept != now:
        yield path, f"{path} was {_shown(kept)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
