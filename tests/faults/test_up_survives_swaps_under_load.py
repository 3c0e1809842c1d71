"""Open-loop callers at 200 requests a second notice neither a swap of versions nor a rollback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from callers_kit import Traffic
from journeys_kit import SYSTEM, Template, ledger_holds, playing, released, shared_folder, until

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A released project on the machine's clock."""
    return released(shared_folder(tmp_path_factory.getbasetemp()))


def test_no_request_fails_while_versions_swap_and_roll_back(
    template: Template, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Requests leave when they are due; not one ends in a connection error, a time-out or anything but 200."""
    with playing(template, tmp_path / "swap") as played:
        played.apply()
        played.start(workers=2)
        with Traffic(played, rate=200, keep=True, truth=False) as traffic:
            until(lambda: traffic.by_release()[f"{SYSTEM}@v1"] >= 200, "v1 answers", played)
            played.promote("twin")
            until(lambda: played.applied(2), "every worker swapped", played)
            swapped = len(traffic.answers)
            until(lambda: len(traffic.answers) >= swapped + 200, "v2 answers", played)
            played.roll_back()
            until(lambda: played.applied(2), "every worker is back", played)
            back = len(traffic.answers)
            until(lambda: len(traffic.answers) >= back + 200, "v1 answers again", played)
        record_property("answers", dict(traffic.by_release()))
        record_property("answers by a fallback", sum(1 for one in traffic.answers if one.fallback))
        assert traffic.bad() == []
        assert traffic.by_release()[f"{SYSTEM}@v2"] > 0
        assert {one.release for one in traffic.answers[-50:]} == {f"{SYSTEM}@v1"}
        ledger_holds(played)
