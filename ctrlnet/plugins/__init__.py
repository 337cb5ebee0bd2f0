"""The registry of plug-ins: lazy, read from the metadata of installed distributions.

A distribution offers a plug-in by one line of its pyproject.toml, in the group of its kind:

    [project.entry-points."ctrlnet.integrators"]
    ralston = "my_package.ralston:Ralston"

Listing reads that metadata and imports nothing; an object is imported when it is first asked for by name. Importing a
plug-in runs its author's code with all the rights of this process: `CTRLNET_PLUGINS` is an allow-list of distributions
(separated by commas or spaces; set but empty, none; ctrlnet's own are always allowed).

Every plug-in object carries `ctrlnet_contract`, the version of the contract that it was written for.
"""

from ctrlnet.plugins.loading import build, load, make, parameters_of, provenance
from ctrlnet.plugins.offers import CONTRACTS, Plugin, describe, find, names, not_found

__all__ = [
    "CONTRACTS",
    "Plugin",
    "build",
    "describe",
    "find",
    "load",
    "make",
    "names",
    "not_found",
    "parameters_of",
    "provenance",
]
