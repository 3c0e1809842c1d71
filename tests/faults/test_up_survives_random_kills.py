"""Workers, the data plane's parent and control are killed at random under traffic, promotions and rollbacks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from journeys_kit import released, shared_folder

HERE = Path(__file__).parent
pytestmark = pytest.mark.long


def test_six_random_kills_lose_nothing_and_do_nothing_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What callers, the pager's receiver and the disk hold agrees; `make chaos` does the same a thousand times."""
    folder = shared_folder(tmp_path_factory.getbasetemp())
    released(folder)
    words = ["--count", "6", "--seed", "3", "--routes", "0", "--project", str(folder)]
    ran = subprocess.run(
        [sys.executable, str(HERE / "chaos.py"), *words], capture_output=True, text=True, timeout=400, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 kills" in ran.stdout
    assert ran.stdout.endswith("all held\n")


def test_the_loop_checker_knows_nothing_of_the_package() -> None:
    """It cannot share a mistake with what it checks."""
    for name in ("independent_loop_checker.py", "independent_home_checker.py"):
        assert not re.search(r"^\s*(from|import)\s+roadworthy", (HERE / name).read_text(), re.MULTILINE)
