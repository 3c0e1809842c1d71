"""Real processes die at named places of publishing, acknowledging and saying where they are; the others carry on.

The same places of the stores alone are in `test_stores_survive_every_crash_point.py`, those of control's look in
`test_control_survives_every_crash_point.py`, those of records in `test_record_log_compaction_crash.py`. The last test
here checks that no crash point is left out.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from callers_kit import Traffic
from journeys_kit import Played, Template, home_holds, playing, released, shared_folder, until
from roadworthy.stores.crash_points import NAMES

pytestmark = pytest.mark.slow
PUBLISHING = (
    "ledger.before_commit",
    "ledger.after_commit",
    "snapshot.before_rename",
    "snapshot.after_rename",
    "snapshot.after_version",
)
ACKNOWLEDGING = (
    "acknowledgement.after_lock",
    "acknowledgement.before_rename",
    "acknowledgement.after_folder_fsync",
)
RECORDING = ("records.before_segment", "records.after_segment")
ANNOUNCING = (
    "process_file.before_fsync",
    "process_file.before_rename",
    "process_file.after_rename",
    "process_file.after_folder_fsync",
)
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A released project on the machine's clock."""
    return released(shared_folder(tmp_path_factory.getbasetemp()))


def published(played: Played) -> int:
    """Return the version that workers poll."""
    return int.from_bytes((played.home / "snapshot/version").read_bytes(), "little", signed=True)


def killed_at(point: str, played: Played) -> int:
    """Let a command die at a point of publishing; return the ledger's end before it.

    Control may publish what it committed before it comes there. Then the command ends well, and another is tried.
    """
    for _ in range(10):
        before: int = played.events()[-1]["seq"]
        if played.cli("keys", "create", "caller", code=None, ROADWORTHY_CRASH_AT=point).returncode == -signal.SIGKILL:
            return before
    raise AssertionError(f"no command died at {point}")


def test_what_a_killed_command_left_unpublished_control_publishes(template: Template, tmp_path: Path) -> None:
    """A command dies before and after its commit and at each step of publishing: workers get what was committed."""
    with playing(template, tmp_path / "publish") as played:
        played.apply()
        played.start(workers=1)
        with Traffic(played, rate=20, truth=False) as traffic:
            for point in PUBLISHING:
                before = killed_at(point, played)
                committed = played.events()[-1]["seq"]
                assert (committed > before) == (point != "ledger.before_commit"), point
                until(lambda: published(played) >= committed, f"control published after {point}", played)  # noqa: B023
                until(lambda: played.applied(1), f"the worker follows after {point}", played)
        assert traffic.bad() == []
        played.stop()
        home_holds(played, traffic.told())


def test_a_worker_killed_while_it_acknowledges_or_begins_a_segment_is_followed_by_another(
    template: Template, tmp_path: Path
) -> None:
    """Each place kills a real worker once; the next worker serves, and what it found on the disk is whole."""
    with playing(template, tmp_path / "acknowledge") as played:
        log = played.home / "logs" / "serve.log"
        for point in (*ACKNOWLEDGING, *RECORDING):
            log.unlink(missing_ok=True)
            played.spawn("serve", workers=1, ROADWORTHY_CRASH_AT=point)
            with Traffic(played, rate=5, truth=False, timeout_s=5):
                said = played.folder / "up.log"
                until(lambda: "ended by signal 9" in said.read_text(), f"a worker died at {point}", played)  # noqa: B023
            played.stop()
            said.unlink()
        played.start(workers=1)
        with Traffic(played, rate=20, truth=False, limit=20) as traffic:
            traffic.wait()
        assert traffic.bad() == []
        played.stop()
        home_holds(played, traffic.told())


def test_a_data_plane_killed_while_it_says_where_it_is_is_followed_by_another(
    template: Template, tmp_path: Path
) -> None:
    """A torn or missing `serve.json` misleads nobody; the next data plane writes its own and serves."""
    with playing(template, tmp_path / "announce") as played:
        for point in ANNOUNCING:
            played.spawn("serve", ROADWORTHY_CRASH_AT=point)
            assert played.process is not None
            assert played.process.wait(60) == -signal.SIGKILL, point
        played.spawn("serve", workers=1)
        until(lambda: played.applied(1), "the worker serves", played)
        assert played.process is not None
        assert played.serve_pid() == played.process.pid
        with Traffic(played, rate=20, truth=False, limit=10) as traffic:
            traffic.wait()
        assert traffic.bad() == []


def test_no_crash_point_is_left_out() -> None:
    """Each name is in a list that a test goes through: a new crash point without a test fails here."""
    stores = ("artifact", "snapshot", "acknowledgement", "home", "backup", "ledger", "observations", "deliveries")
    paying = ("wallet", "purses", "settlement")
    tried = {name for name in NAMES if name.partition(".")[0] in (*stores, *paying, "leases", "people")}
    records = (HERE / "test_record_log_compaction_crash.py").read_text()
    tried |= {name for name in NAMES if re.search(rf'"{re.escape(name)}[@"]', records)}
    assert NAMES - tried - {*PUBLISHING, *ACKNOWLEDGING, *RECORDING, *ANNOUNCING} == set()
