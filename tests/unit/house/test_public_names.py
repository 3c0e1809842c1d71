"""The fence: what the package offers, and that offering it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import roadworthy

HEAVY = ("numpy", "duckdb", "sqlalchemy", "starlette", "granian", "pydantic", "cyclopts", "rich", "msgspec")


def test_every_public_name_loads() -> None:
    """No name is promised that does not exist."""
    for name in roadworthy.__all__:
        assert getattr(roadworthy, name) is not None


def test_the_fence_holds_what_it_says() -> None:
    """A new public name is a decision: it is added here as well."""
    assert len(roadworthy.__all__) == 27
    assert dir(roadworthy) == roadworthy.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Asking for a private name fails as for any module."""
    with pytest.raises(AttributeError, match="no public name 'nonsense'"):
        _ = roadworthy.nonsense


def test_importing_the_package_loads_nothing_heavy() -> None:
    """A program that only wants one name does not pay for the others."""
    program = f"import sys, roadworthy; print([name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_version_is_printed_without_loading_anything_heavy() -> None:
    """`roadworthy --version` answers at once: it imports no library at all."""
    program = (
        "import sys; sys.argv = ['roadworthy', '--version']\n"
        "from roadworthy.cli import main; main()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[:2] == [roadworthy.__version__, "[]"]
