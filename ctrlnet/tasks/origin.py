"""Where a task comes from, as run.toml keeps it, and the way back."""

from __future__ import annotations

import importlib
from dataclasses import is_dataclass
from inspect import signature
from typing import Any

from ctrlnet import plugins
from ctrlnet.errors import PluginError, UsageError
from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.task import Task

OBJECT = "object"  # the kind of an environment that no plug-in offers, known by module:object


def origin_of(task: Task) -> dict[str, Any]:
    """Plug-in, or module:object, of a task; `importable` says whether that leads back to an equal one."""
    author = type(task.environment if isinstance(task, EnvironmentTask) else task)
    for kind in ("environments", "tasks"):
        for plugin in (one for one in plugins.describe(kind) if one.name == task.name):
            name = f"{plugin.distribution}:{plugin.name}"
            if _loaded(kind, name) is author:
                return {"importable": True, "kind": kind, **plugins.provenance(kind, name)}
    value = f"{author.__module__}:{author.__qualname__}"
    if isinstance(task, EnvironmentTask) and _leads_back(value, task):
        return {"importable": True, "kind": OBJECT, "value": value}
    return {"importable": False, "value": value}


def environment_at(value: str, parameters: dict[str, Any]) -> Environment:
    """The environment of the class at module:object, built with its parameters.

    Raises:
        UsageError: there is none, or it does not take them.
    """
    try:
        author = _imported(value)
    except Exception as cause:  # importing runs the author's code
        raise UsageError(
            f"The run was made of {value}, which cannot be imported here: {type(cause).__name__}: {cause}. Put the "
            "folder of its module on PYTHONPATH, or install it; a plug-in is found by name wherever it is installed."
        ) from cause
    if not (isinstance(author, type) and issubclass(author, Environment)):
        raise UsageError(f"The run names {value}, which is no environment: {author!r}. Restore the class.")
    built: Environment = plugins.build(value, author, parameters)
    return built


def _imported(value: str) -> Any:
    module, _, path = value.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _leads_back(value: str, task: EnvironmentTask) -> bool:
    """Whether another process finds the class at module:object and builds an equal object from the parameters."""
    author = type(task.environment)
    if value.startswith("__main__:") or not (is_dataclass(author) or not signature(author).parameters):
        return False  # arguments that are no fields are not known
    try:
        if _imported(value) is not author:
            return False
        again = environment_at(value, task.parameters)
        return not is_dataclass(author) or bool(again == task.environment)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):  # a class within a function, say
        return False


def _loaded(kind: str, name: str) -> object:
    try:
        return plugins.load(kind, name)
    except PluginError:  # someone else's plug-in of the same name
        return None
