"""The base install: few packages, nothing heavy."""

from __future__ import annotations

from pathlib import Path

BASE = Path(__file__).parents[3] / "requirements" / "base.txt"
HEAVY = {"scikit-learn", "pandas", "pyarrow", "onnxruntime", "scipy", "torch", "ray", "pyspark", "fastapi"}


def packages() -> set[str]:
    """Read the names that the locked base install holds."""
    return {line.partition("==")[0].strip() for line in BASE.read_text().splitlines() if "==" in line}


def test_the_base_install_has_at_most_35_packages() -> None:
    """Whoever serves SQL installs no machine-learning library, and few others."""
    assert len(packages()) <= 35
    assert not packages() & HEAVY


def test_the_lock_names_no_address() -> None:
    """A locked file says which bytes, never from where."""
    for path in BASE.parent.glob("*.txt"):
        assert "://" not in path.read_text(), path.name
