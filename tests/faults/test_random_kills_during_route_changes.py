"""Killed at random instants, writers of routes lose nothing and leave nothing half done."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "chaos_routes.py"


def test_thirty_random_kills_during_route_changes_lose_nothing():
    """The pointer to the route in force is old or new; `make chaos` does the same a thousand times."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", "15", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("30 writers killed")
