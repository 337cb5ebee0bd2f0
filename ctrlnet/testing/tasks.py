"""The conformance kit of tasks."""

from __future__ import annotations

from typing import Any

from ctrlnet.testing.conformance import Report, examine, require, require_contract, resolved

_VERBS = ("train", "untrained", "statements", "recipe_settings")


def check_task(plugin: str | object) -> Report:
    """Check a task against its contract: what it declares and what it can do, without training it.

    Args:
        plugin: name of an installed task, or the task or its class.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("tasks", plugin)
    return examine("tasks", name, loaded, [("contract", _contract)], [("verbs", _verbs)])


def _contract(task: Any) -> str:
    return require_contract("tasks", task)


def _verbs(task: Any) -> str:
    built = task() if isinstance(task, type) else task
    missing = [verb for verb in _VERBS if not callable(getattr(built, verb, None))]
    require(not missing, f"it has no {', '.join(missing)}")
    require(isinstance(getattr(built, "name", None), str), "it has no name")
    require(isinstance(getattr(built, "parameters", None), dict), "its parameters are no dict")
    return ", ".join(_VERBS)
