"""`ctrlnet plugins list | show | check | new`."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from typing import Any

from ctrlnet import plugins
from ctrlnet.cli.console import Console
from ctrlnet.cli.scaffold import scaffold
from ctrlnet.errors import NameNotFound, PluginError
from ctrlnet.plugins import Plugin

__all__ = ["main"]

DONE, FAILED = 0, 1
_KINDS = tuple(plugins.CONTRACTS)


def main(arguments: list[str], json: bool = False) -> int:
    """Run `ctrlnet plugins ARGUMENTS` and return its exit status; `--json` may also stand among the arguments."""
    console = Console(json or "--json" in arguments)
    options = _parser().parse_args([argument for argument in arguments if argument != "--json"])
    run: Any = {"list": _list, "show": _show, "check": _check, "new": _new}[options.verb]
    status: int = run(options, console)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ctrlnet plugins", description="Plug-ins of ctrlnet, installed or to be.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | show | check | new")
    listing = verbs.add_parser("list", help="what is installed; imports nothing unless --load")
    listing.add_argument("--kind", choices=_KINDS)
    listing.add_argument("--load", action="store_true", help="import each and say which are broken")
    show = verbs.add_parser("show", help="where a plug-in comes from, its parameters, its documentation")
    show.add_argument("name")
    show.add_argument("--kind", choices=_KINDS)
    check = verbs.add_parser("check", help="run the conformance kit; without a name, on everything installed")
    check.add_argument("names", nargs="*", metavar="name")
    check.add_argument("--kind", choices=_KINDS)
    new = verbs.add_parser("new", help="begin a plug-in: a small distribution that installs and passes the check")
    new.add_argument("name", help="lower_snake_case, the literature's short name")
    new.add_argument("--kind", choices=("integrator", "optimizer", "environment"), default="integrator")
    new.add_argument("--path", default=".", help="folder to write the distribution's folder into")
    return parser


def _list(options: argparse.Namespace, console: Console) -> int:
    rows = [
        (plugin, _problem(plugin, options.load)) for kind in _chosen(options.kind) for plugin in plugins.describe(kind)
    ]
    for plugin, problem in rows:
        console.event("plugin", **_facts(plugin), problem=problem or None)
    if not console.json:
        _table([(p.kind, p.name, f"{p.distribution} {p.version}", p.value, why) for p, why in rows], console)
    return FAILED if options.load and any(problem for _, problem in rows) else DONE


def _show(options: argparse.Namespace, console: Console) -> int:
    for plugin in _found(options.name, options.kind):
        loaded = plugins.load(plugin.kind, f"{plugin.distribution}:{plugin.name}")
        parameters = _parameters(loaded)
        documentation = _documentation(plugin, loaded)
        console.event("plugin", **_facts(plugin), parameters=parameters, documentation=documentation)
        console.say(f"{plugin.kind[:-1]} '{plugin.name}' of {plugin.source}")
        console.say(f"contract {loaded.ctrlnet_contract}")
        if parameters:
            console.say(f"parameters: {', '.join(parameters)}")
        console.say(f"\n{documentation}" if documentation else "")
    return DONE


def _check(options: argparse.Namespace, console: Console) -> int:
    if options.names:
        found = [plugin for name in options.names for plugin in _found(name, options.kind)]
    else:
        found = [plugin for kind in _chosen(options.kind) for plugin in plugins.describe(kind)]
    results = [_examined(plugin, console) for plugin in found]
    console.say(f"{sum(results)} of {len(results)} pass")
    return DONE if all(results) else FAILED


def _examined(plugin: Plugin, console: Console) -> bool:
    """Run the kit of a plug-in's kind, say what came of it, and whether it passed."""
    from ctrlnet import testing

    kits = {
        "integrators": testing.check_integrator,
        "optimizers": testing.check_optimizer,
        "environments": testing.check_environment,
        "tasks": testing.check_task,
    }
    report, problem = None, None
    try:
        report = kits[plugin.kind](f"{plugin.distribution}:{plugin.name}")
    except PluginError as failure:
        report, problem = getattr(failure, "report", None), str(failure)
    outcomes = [outcome._asdict() for outcome in report.outcomes] if report else []
    console.event("check", **_facts(plugin), passed=problem is None, problem=problem, checks=outcomes)
    console.say(str(report) if report else f"{plugin.kind[:-1]} '{plugin.name}'\n  FAILED  {problem}")
    return problem is None


def _new(options: argparse.Namespace, console: Console) -> int:
    folder = scaffold(options.name, options.kind, options.path)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    console.event("new", folder=str(folder), files=files)
    console.say(f"{folder}\n" + "\n".join(f"  {file}" for file in files))
    console.say(f"\nnext:\n  pip install -e {folder}\n  ctrlnet plugins check {options.name}")
    return DONE


def _chosen(kind: str | None) -> Sequence[str]:
    return _KINDS if kind is None else (kind,)


def _found(name: str, kind: str | None) -> list[Plugin]:
    """The plug-ins that a name stands for, at most one a kind; NameNotFound where there is none at all."""
    found, errors = [], []
    for one in _chosen(kind):
        try:
            found.append(plugins.find(one, name))
        except NameNotFound as error:
            errors.append(str(error))
    if found:
        return found
    if kind is not None:
        raise NameNotFound(errors[0])
    raise NameNotFound(plugins.not_found("plug-in", name, _KINDS))


def _facts(plugin: Plugin) -> dict[str, str]:
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "value": plugin.value,
    }


def _problem(plugin: Plugin, load: bool) -> str:
    """Why a plug-in cannot be used, as far as is known without importing it, or surely with `load`."""
    same = [other for other in plugins.describe(plugin.kind) if other.name == plugin.name]
    twice = f"also offered by {', '.join(o.distribution for o in same if o != plugin)}" if len(same) > 1 else ""
    if load and not plugin.problem:
        try:
            plugins.load(plugin.kind, f"{plugin.distribution}:{plugin.name}")
        except PluginError as error:
            return "; ".join(filter(None, (str(error), twice)))
    return "; ".join(filter(None, (f"broken: {plugin.problem}" if plugin.problem else "", twice)))


def _parameters(loaded: Any) -> list[str]:
    try:
        return plugins.parameters_of(loaded) if callable(loaded) else []
    except ValueError:  # a class written in C shows no signature
        return []


def _documentation(plugin: Plugin, loaded: Any) -> str:
    """The docstring of a class or function; for any other object, that of its module."""
    described = loaded if inspect.isclass(loaded) or inspect.isroutine(loaded) else sys.modules[plugin.entry.module]
    return inspect.getdoc(described) or ""


def _table(rows: list[tuple[str, ...]], console: Console) -> None:
    heads = ("kind", "name", "distribution", "object", "problem")[: 5 if any(row[-1] for row in rows) else 4]
    if sys.stdout.isatty():
        from rich.console import Console as Terminal
        from rich.table import Table

        table = Table(box=None)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*row[: len(heads)])
        Terminal().print(table)
        return
    widths = [max(map(len, column)) for column in zip(heads, *(row[: len(heads)] for row in rows), strict=True)]
    for row in rows:
        console.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
