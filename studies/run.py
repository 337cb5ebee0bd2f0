"""Run the studies and write their tables and figures into docs: `python studies/run.py [NAME ...]`, all without a name.

A study is a file with `run() -> dict[str, float]`: the figures that its page quotes.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

STUDIES = (
    *("transfer", "grid", "depth", "bits", "control"),  # docs/studies.md
    *("peaks", "deep", "adjoint", "orders", "energy"),  # docs/integrator-studies.md
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(STUDIES)}; all of them when none is given")
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in STUDIES]:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(STUDIES)}")
    sys.path.insert(0, str(Path(__file__).parent))
    for name in names or STUDIES:
        started = time.perf_counter()
        for figure, value in importlib.import_module(name).run().items():
            print(f"{name:<9} {figure:<60} {value:>10.4g}", flush=True)
        print(f"{name:<9} took {time.perf_counter() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
