"""The command line: parse, call one verb, print. Exit codes: 0 done, 1 error, 2 refused, 3 inconclusive."""

from __future__ import annotations

import sys

from roadworthy import __version__


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"{__version__}\n")
        return
    from roadworthy.cli.run import run

    sys.exit(run(sys.argv[1:]))
