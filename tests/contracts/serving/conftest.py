"""A running data plane on a home made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_kit import Plane, open_plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A home with one key that may do everything; nothing is published or started yet."""
    made = open_plane(tmp_path)
    try:
        yield made
    finally:
        made.stop()
