"""Runs control's looks and deliveries on a home, in a process that a crash point may kill."""

from __future__ import annotations

import sys

from roadworthy.domain.rollout import Progress
from roadworthy.lifecycle.control import Control
from roadworthy.settings import from_environment
from roadworthy.wiring import open_plane


def main() -> None:
    """Look and deliver as often as the argument says."""
    plane = open_plane(from_environment())
    control = Control(plane, lambda *_: 0, lambda _: Progress())
    for _ in range(int(sys.argv[1])):
        control.look()
        control.deliver()
    control.resign()
    plane.close()


if __name__ == "__main__":
    main()
