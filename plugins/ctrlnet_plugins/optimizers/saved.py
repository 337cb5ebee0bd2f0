"""Whether a saved state is one of the optimizer that is to take it: asked before anything changes."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import torch

from ctrlnet import UsageError, load, names

if TYPE_CHECKING:
    from ctrlnet_plugins.optimizers.rule import Rule

_DO = "Build the optimizer with the options and weights that the state was saved with, or start without the state."
_NO_OPTIONS = {"self", "params", "parts", "defaults", "param_names", "initial_lr"}  # stand with options, but are none
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def require_fitting(rule: Rule, saved: dict[str, Any]) -> None:
    """Refuse groups without the rule's options, options that it refuses, and states of other names or shapes.

    Raises:
        UsageError: saying whose state it seems to be, or where it differs, and what to do.
    """
    _require_options(rule, saved["param_groups"])
    sizes, given = ([len(group["params"]) for group in groups] for groups in (rule.param_groups, saved["param_groups"]))
    if sizes != given:
        raise _misfit(rule, f"it has groups of {given} tensors, the optimizer of {sizes}.")
    for own, group in zip(rule.param_groups, saved["param_groups"], strict=True):
        merged = {**own, **group, "params": own["params"]}
        try:
            rule.check_group(merged)
        except UsageError as cause:
            raise _misfit(rule, str(cause)) from cause
        for weight, index in zip(own["params"], group["params"], strict=True):
            if index in saved["state"]:
                _require_shapes(rule, merged, weight, saved["state"][index])


def _require_options(rule: Rule, groups: list[dict[str, Any]]) -> None:
    missing = sorted({name for group in groups for name in rule.defaults.keys() - group.keys()})
    if missing:
        kind, owner = type(rule).__name__, _owner(set(groups[0]) - _NO_OPTIONS)
        seems = f"It seems to be one of '{owner}': load it into that" if owner else "Load it into the rule it is of"
        raise UsageError(
            f"This is no state of {kind}: its groups lack {', '.join(missing)}. {seems}, or start {kind} without it."
        )


@torch.no_grad()
def _require_shapes(rule: Rule, group: dict[str, Any], weight: torch.Tensor, state: dict[str, Any]) -> None:
    needed = {key: list(value.shape) for key, value in rule.kept(group, weight).items()}
    found = {key: list(getattr(value, "shape", ())) for key, value in state.items()}
    if needed != found:
        raise _misfit(rule, f"of {rule.name(group, weight)} it has {_listing(found)} instead of {_listing(needed)}.")


def _listing(shapes: dict[str, list[int]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in sorted(shapes.items())) or "nothing"


def _misfit(rule: Rule, reason: str) -> UsageError:
    return UsageError(f"The state does not fit this {type(rule).__name__}: {reason} {_DO}")


def _owner(options: set[str]) -> str | None:
    """The plug-in whose options are most like those of a saved group; None where most differ."""
    likeness = {name: _likeness(options, name) for name in names("optimizers")}
    best = max(likeness, key=likeness.__getitem__)
    return best if likeness[best] >= 0.5 else None


def _likeness(options: set[str], name: str) -> float:
    """Options in common over options of either."""
    bases = getattr(load("optimizers", name), "__mro__", ())[:-1]
    constructors = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    parameters = [one for called in constructors for one in signature(called).parameters.values()]
    own = {one.name for one in parameters if one.kind in _BY_NAME} - _NO_OPTIONS
    return len(options & own) / len(options | own)
