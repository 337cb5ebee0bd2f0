"""What installed distributions offer, read from their metadata alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from ctrlnet.errors import DuplicatePlugin, NameNotFound, nearest

CONTRACTS = {"integrators": 1, "optimizers": 1, "environments": 1, "tasks": 1}  # version this ctrlnet speaks, by kind
OURS = "ctrlnet"  # the distribution that is always allowed
_INSTALL = "A name added to pyproject.toml appears after 'pip install -e .'."


@dataclass(frozen=True)
class Plugin:
    """One offer of a plug-in, as its distribution's metadata states it.

    Attributes:
        kind, name: what it is asked for by.
        value: where the object is, "module:object".
        distribution, version: who offers it.
        problem: why it cannot be loaded, "" as far as can be told without importing it.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    problem: str = ""
    entry: EntryPoint = field(repr=False, compare=False, kw_only=True)

    @property
    def source(self) -> str:
        """'distribution version (module:object)', for messages."""
        return f"{self.distribution} {self.version} ({self.value})"


def names(kind: str) -> list[str]:
    """Names of the installed plug-ins of a kind, sorted; imports none of them.

    Args:
        kind: "integrators", "optimizers", "environments" or "tasks".

    Raises:
        NameNotFound: no such kind.
    """
    return sorted({plugin.name for plugin in describe(kind)})


def describe(kind: str) -> tuple[Plugin, ...]:
    """Every offer of a kind that the allow-list lets through, sorted by name; imports none of them."""
    if kind not in CONTRACTS:
        kinds = ", ".join(CONTRACTS)
        raise NameNotFound(
            sentences(f"No kind of plug-in is named {kind!r}.", nearest(kind, CONTRACTS), f"Kinds: {kinds}.")
        )
    return _scan(kind, os.environ.get("CTRLNET_PLUGINS"), tuple(sys.path))[0]


def find(kind: str, name: str) -> Plugin:
    """The one offer that `name` stands for; 'distribution:name' picks one of several.

    Raises:
        NameNotFound: nothing of that name is installed and allowed.
        DuplicatePlugin: two distributions offer it.
    """
    found = matches(describe(kind), name)
    if not found:
        raise NameNotFound(not_found(kind[:-1], name, [kind]))
    if len(found) > 1:
        sources = " and ".join(plugin.source for plugin in found)
        picks = " or ".join(f"'{plugin.distribution}:{plugin.name}'" for plugin in found)
        raise DuplicatePlugin(f"Two distributions offer the {kind[:-1]} '{name}': {sources}. Ask for {picks}.")
    return found[0]


def not_found(noun: str, name: str, kinds: Iterable[str]) -> str:
    """The message for a name that no plug-in of these kinds answers to: the nearest one and all that are installed."""
    kinds = tuple(kinds)
    installed = [installed for kind in kinds for installed in names(kind)]
    listing = f"Installed: {', '.join(installed) or 'none'}."
    hint = _hidden(kinds, name) or nearest(name, installed)
    return sentences(f"No {noun} is named {name!r}.", hint, listing, _INSTALL)


@lru_cache(maxsize=16)
def _scan(kind: str, allowed: str | None, path: tuple[str, ...]) -> tuple[tuple[Plugin, ...], tuple[Plugin, ...]]:
    """Offers of a kind, those that the allow-list lets through and those that it hides.

    The arguments are all that the answer depends on, so that it can be remembered: reading the metadata of a hundred
    distributions takes milliseconds, too long for a call inside a training loop.
    """
    offers = sorted(
        (_offer(kind, entry) for entry in entry_points(group=f"ctrlnet.{kind}")),
        key=lambda plugin: (plugin.name, plugin.distribution),
    )
    passes = _filter(allowed)
    return tuple(filter(passes, offers)), tuple(plugin for plugin in offers if not passes(plugin))


def _offer(kind: str, entry: EntryPoint) -> Plugin:
    return Plugin(kind, entry.name, entry.value, *_author(entry), _problem(entry), entry=entry)


def _author(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution, as far as its metadata can be read."""
    try:
        return str(entry.dist.name or "unknown"), str(entry.dist.version)  # type: ignore[union-attr]
    except Exception:  # damaged metadata of one distribution must not hide the others
        return "unknown", "unknown"


def _problem(entry: EntryPoint) -> str:
    """What is wrong with an entry point as far as can be told without importing anything."""
    match = re.fullmatch(r"([\w.]+):[\w.]+", entry.value.split("[")[0].replace(" ", ""))
    if match is None:
        return f"its value {entry.value!r} is not of the form 'module:object'"
    top = match[1].split(".")[0]
    if top not in sys.modules and find_spec(top) is None:
        return f"no module is named {top!r}"
    return ""


def _filter(allowed: str | None) -> Callable[[Plugin], bool]:
    if allowed is None:
        return lambda _: True
    permitted = {_canonical(name) for name in re.split(r"[,\s]+", allowed) if name} | {OURS}
    return lambda plugin: _canonical(plugin.distribution) in permitted


def _canonical(distribution: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def matches(offers: Iterable[Plugin], name: str) -> list[Plugin]:
    """The offers that a name, or 'distribution:name', stands for."""
    distribution, colon, bare = name.rpartition(":")
    if not colon:
        return [plugin for plugin in offers if plugin.name == name]
    wanted = (_canonical(distribution), bare)
    return [plugin for plugin in offers if (_canonical(plugin.distribution), plugin.name) == wanted]


def _hidden(kinds: Iterable[str], name: str) -> str:
    """The sentence that says that the allow-list hides what was asked for, or ""."""
    allowed = os.environ.get("CTRLNET_PLUGINS")
    found = [plugin for kind in kinds for plugin in matches(_scan(kind, allowed, tuple(sys.path))[1], name)]
    if not found:
        return ""
    return f"{found[0].source} offers it, but CTRLNET_PLUGINS={allowed!r} does not allow '{found[0].distribution}'."


def sentences(*parts: str) -> str:
    """The parts that are not empty, as one paragraph."""
    return " ".join(filter(None, parts))
