"""Load every release that is in force or could be rolled back to; ends with 1 and one line if one does not load.

A process of its own, because a model that crashes the interpreter must not take the supervisor with it.
"""

from __future__ import annotations

import sys

from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.settings import from_environment
from roadworthy.wiring import open_plane, prove_loads


def unloadable(plane: Plane) -> tuple[str, ...]:
    """Return a sentence for each release of a route that does not load here."""
    prove = prove_loads(plane, probes=False)
    found: list[str] = []
    for system in present.systems(plane):
        known = present.releases(plane, system)
        named = dict.fromkeys(name for route in present.routes(plane, system) for name in route.releases)
        for name in named:
            release = known.get(name)
            if release is None:
                found.append(f"{system} routes to {name}, which is no release")
                continue
            try:
                prove(release.candidate)
            except RoadworthyError as error:
                found.append(f"{release.name} does not load: {error.message}")
    return tuple(found)


def main() -> int:
    """Say what does not load; return the exit code."""
    try:
        plane = open_plane(from_environment())
        found = unloadable(plane)
        plane.close()
    except RoadworthyError as error:
        found = (error.message,)
    sys.stderr.write("; ".join(" ".join(one.split()) for one in found) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
