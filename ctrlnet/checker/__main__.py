"""python -m ctrlnet.checker FILE [--exact]: exit 0 confirmed, 1 rejected, 2 unreadable, 3 undecided."""

from __future__ import annotations

import argparse
import sys

from ctrlnet.checker.verification import check


def main(arguments: list[str] | None = None) -> int:
    """Check one file, print the report, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ctrlnet.checker", description="Check a ctrlnet certificate.")
    parser.add_argument("file", help="certificate file")
    parser.add_argument("--exact", action="store_true", help="ball arithmetic for elementary functions (python-flint)")
    options = parser.parse_args(arguments)
    try:
        report = check(options.file, exact=options.exact)
    except ImportError as error:
        parser.error(str(error))
    sys.stdout.write(f"{report}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
