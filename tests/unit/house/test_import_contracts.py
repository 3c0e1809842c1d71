"""The one law: imports point inward. The contracts hold, and they bite when someone breaks them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PLANTED = {
    "domain reads the clock": ("domain/planted.py", "import time\n"),
    "domain knows a store": ("domain/planted.py", "from roadworthy.stores import atomic\n"),
    "a gate knows a runtime": ("gates/planted.py", "from roadworthy.runtimes import outputs\n"),
    "serving knows the verbs": ("serving/planted.py", "from roadworthy.lifecycle import promote\n"),
    "a type-checking import counts": (
        "stats/planted.py",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from roadworthy.stores import atomic\n",
    ),
    "a new room has no place yet": ("attic.py", "x = 1\n"),
}


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources, so that a planted violation disturbs nobody."""
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_imports_point_inward(copy: Path) -> None:
    """The house as it stands keeps every contract."""
    result = _lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("sin", PLANTED)
def test_a_planted_violation_is_refused(copy: Path, sin: str) -> None:
    """A contract that cannot fail protects nothing: each kind of violation is refused."""
    name, text = PLANTED[sin]
    planted = copy / "src" / "roadworthy" / name
    planted.write_text(text)
    try:
        result = _lint(copy)
    finally:
        planted.unlink()
    assert result.returncode != 0, f"{sin}: nobody minded\n{result.stdout}"
