"""Where the sockets of local models are: beside the home's data, or where their paths are short enough."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from roadworthy.errors import PluginError
from roadworthy.runtimes.llm.gguf import folder_for_sockets


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the machine's folder for temporary files be the test's own."""
    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_a_short_path_is_used_as_it_is(temporary: Path) -> None:
    """It is made, and it is private."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short) / "models"
        assert folder_for_sockets(folder) == folder
        assert folder.stat().st_mode & 0o077 == 0
    assert not list(temporary.iterdir())


def test_a_long_path_is_replaced_by_a_private_one_that_all_of_the_home_find(temporary: Path) -> None:
    """The same for the same home, another for another."""
    here, there = temporary / ("x" * 120) / "models", temporary / ("y" * 120) / "models"
    found = folder_for_sockets(here)
    assert found.parent == temporary
    assert found.stat().st_mode & 0o777 == 0o700
    assert folder_for_sockets(here) == found
    assert folder_for_sockets(there) != found


@pytest.mark.parametrize("fault", ["link", "open", "file"])
def test_a_place_that_somebody_else_prepared_is_refused(temporary: Path, fault: str) -> None:
    """Whoever can write there could answer in the model's name."""
    here = temporary / ("x" * 120) / "models"
    place = folder_for_sockets(here)
    place.rmdir()
    if fault == "link":
        place.symlink_to(temporary)
    elif fault == "file":
        place.write_text("")
    else:
        place.mkdir()
        place.chmod(0o777)
    with pytest.raises(PluginError, match="is not a private folder of yours"):
        folder_for_sockets(here)
