"""A home in a temporary folder and its adapters."""

import pytest

from roadworthy.stores.home import create
from roadworthy.stores.metadata import Metadata


@pytest.fixture
def home(tmp_path):
    """A fresh home."""
    return create(tmp_path / "home")


@pytest.fixture
def metadata(home):
    """Its database."""
    opened = Metadata(home.database, busy_seconds=0.2)
    yield opened
    opened.close()
