"""The commands, by what one comes for."""

from __future__ import annotations

from importlib import import_module

from cyclopts import App, Group

from roadworthy import __version__

PROJECT = Group("From prototype to release", sort_key=1)
TRAFFIC = Group("Traffic", sort_key=2)
LOOK = Group("Look", sort_key=3)
HOME = Group("The home", sort_key=4)

app = App(
    name="roadworthy",
    version=__version__,
    help=(
        "Take a prototype, make it a production system, and keep it one.\n\n"
        "Every command takes --json, --home FOLDER (default ./.roadworthy) and --as NAME. "
        "Exit codes: 0 done, 1 error, 2 refused, 3 inconclusive."
    ),
    help_format="plaintext",
)

for _room in ("demos", "drills", "evaluating", "homes", "looking", "people", "pins", "projects", "traffic"):
    # Each registers its commands.
    import_module(f"roadworthy.cli.{_room}")
