"""Plug-in objects, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from ctrlnet.errors import BrokenPlugin, ContractMismatch, DuplicatePlugin, NameNotFound, UsageError, nearest
from ctrlnet.plugins.offers import CONTRACTS, OURS, Plugin, describe, find, matches, not_found, sentences


def load(kind: str, name: str) -> Any:
    """The plug-in object of that name, imported now.

    Args:
        kind: "integrators", "optimizers", "environments" or "tasks".
        name: its name, or 'distribution:name' where two distributions offer the same.

    Raises:
        NameNotFound: nothing of that name is installed and allowed.
        DuplicatePlugin: two distributions offer it.
        BrokenPlugin: importing it failed; the cause is chained.
        ContractMismatch: it was written for another version of the contract.
    """
    plugin = find(kind, name)
    try:
        if ":" not in plugin.value:
            raise ImportError(plugin.problem)
        loaded = plugin.entry.load()
    except (Exception, SystemExit) as cause:
        raise BrokenPlugin(
            f"The {kind[:-1]} '{plugin.name}' of {plugin.source} cannot be imported: {type(cause).__name__}: {cause}. "
            f"Repair or reinstall the distribution, or uninstall it."
        ) from cause
    _require_contract(plugin, _declared(plugin, loaded))
    return loaded


def make(name: str, /, **parameters: Any) -> Any:
    """The environment or task of that name, built with its parameters.

    Raises:
        UsageError: a parameter that it does not have, or lacks; and everything that `load` raises.
    """
    kinds = [kind for kind in ("environments", "tasks") if matches(describe(kind), name)]
    if not kinds:
        raise NameNotFound(not_found("environment or task", name, ["environments", "tasks"]))
    if len(kinds) > 1:
        sources = " and ".join(find(kind, name).source for kind in kinds)
        raise DuplicatePlugin(
            f"'{name}' is an environment and a task: {sources}. Build one by itself: "
            f"ctrlnet.load('environments', '{name}')(...) or ctrlnet.load('tasks', '{name}')(...)."
        )
    author = load(kinds[0], name)
    return build(name, author, parameters)


def build(name: str, author: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """What `author`, called `name` in errors, makes of the parameters.

    Raises:
        UsageError: a parameter that it does not have, or lacks; what the author raises passes through.
    """
    _require_parameters(name, author, parameters)
    return author(**parameters)


def provenance(kind: str, name: str) -> dict[str, str]:
    """Who made the plug-in of that name, for runs and certificates: distribution, version, value."""
    plugin = find(kind, name)
    return {"distribution": plugin.distribution, "version": plugin.version, "value": plugin.value}


def _declared(plugin: Plugin, loaded: Any) -> object:
    """The contract that the author of a plug-in has declared.

    A stranger's class does not inherit the declaration of one of ctrlnet's: it would then follow ctrlnet to a version
    that its author has never seen. (An object of a class of ctrlnet, such as a tableau, is ctrlnet's own code.)
    """
    if not isinstance(loaded, type) or plugin.distribution == OURS:
        return getattr(loaded, "ctrlnet_contract", None)
    authors = [vars(base) for base in loaded.__mro__ if base.__module__.split(".")[0] != "ctrlnet"]
    return next((base["ctrlnet_contract"] for base in authors if "ctrlnet_contract" in base), None)


def _require_contract(plugin: Plugin, declared: object) -> None:
    spoken = CONTRACTS[plugin.kind]
    what = f"The {plugin.kind[:-1]} '{plugin.name}' of {plugin.source}"
    if not isinstance(declared, int) or isinstance(declared, bool):
        raise ContractMismatch(
            f"{what} declares no contract (ctrlnet_contract is {declared!r}). This ctrlnet speaks version {spoken}: "
            f"add 'ctrlnet_contract = {spoken}' to the class once it passes 'ctrlnet plugins check {plugin.name}'."
        )
    if declared != spoken:
        upgrade = "ctrlnet" if declared > spoken else f"'{plugin.distribution}'"
        raise ContractMismatch(
            f"{what} was written for version {declared} of the contract, this ctrlnet speaks version {spoken}. "
            f"Upgrade {upgrade}."
        )


def _require_parameters(name: str, author: Callable[..., Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the author does not take, before a TypeError from deep inside does it worse."""
    accepted = signature(author)
    try:
        accepted.bind(**parameters)
    except TypeError as cause:
        unknown = [key for key in parameters if key not in accepted.parameters]
        hint = nearest(unknown[0], accepted.parameters) if unknown else ""
        listing = f"Parameters: {', '.join(parameters_of(author)) or 'none'}."
        raise UsageError(sentences(f"'{name}' cannot be built: {cause}.", hint, listing)) from cause


def parameters_of(author: Callable[..., Any]) -> list[str]:
    """What a plug-in is built with: "torque_limit: float = 6.0", one string a parameter."""
    listing = []
    for name, parameter in signature(author).parameters.items():
        type_ = "" if parameter.annotation is parameter.empty else f": {_type_name(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        listing.append(f"{name}{type_}{default}")
    return listing


def _type_name(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))
