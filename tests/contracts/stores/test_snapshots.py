"""Snapshots: published whole, seen at once, acknowledged by workers that live."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.snapshot import Acknowledgement, ServedSystem, Snapshot
from roadworthy.domain.system import ServePlan
from roadworthy.errors import InputError, StoreError
from roadworthy.stores.presence import WorkerPresence
from roadworthy.stores.snapshots import FileSnapshots


@pytest.fixture
def snapshots(home):
    """The snapshots of a fresh home."""
    return FileSnapshots(home.snapshot, home.workers)


def snapshot(version):
    """A snapshot with one system."""
    route = Route(system="s", version=version, arms=(Arm(role=ArmRole.CHAMPION, release="r", share=1.0),))
    served = ServedSystem(
        name="s", environment="live", kind="model", route=route, releases=(), serve=ServePlan(stated_default={"p": 0.5})
    )
    return Snapshot(version=version, written_at=1, home="h", systems=(served,))


def test_a_fresh_home_has_no_snapshot(snapshots):
    """A worker that starts first waits instead of failing."""
    assert snapshots.version() == 0
    assert snapshots.read() is None


def test_what_is_published_is_what_every_process_reads(home, snapshots):
    """A snapshot comes back equal, and its version shows at once to a reader that looked before."""
    reader = FileSnapshots(home.snapshot, home.workers)
    assert reader.version() == 0
    assert snapshots.publish(snapshot(7))
    assert reader.version() == 7
    assert reader.read() == snapshot(7)


def test_versions_only_grow(snapshots):
    """A publisher that was slow does not undo a newer one."""
    assert snapshots.publish(snapshot(7))
    assert not snapshots.publish(snapshot(7))
    assert not snapshots.publish(snapshot(6))
    assert snapshots.read() == snapshot(7)


def test_publishers_that_race_end_at_the_newest(home):
    """Whoever comes last, the highest version is in place, whole."""

    def publish(start):
        mine = FileSnapshots(home.snapshot, home.workers)
        for version in range(start, 40, 4):
            mine.publish(snapshot(version))

    threads = [threading.Thread(target=publish, args=(start,)) for start in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = FileSnapshots(home.snapshot, home.workers)
    assert seen.version() == 39
    assert seen.read() == snapshot(39)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:50] + b"\x00" + b[51:], lambda b: b"x" + b]
)
def test_a_corrupt_snapshot_is_refused(home, snapshots, damage):
    """A worker keeps what it has rather than read torn bytes."""
    snapshots.publish(snapshot(7))
    path = home.snapshot / "current.msgpack"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="corrupt"):
        snapshots.read()


def test_a_damaged_version_file_is_one_clear_message(home):
    """A version file of the wrong size is never mapped."""
    (home.snapshot / "version").write_bytes(b"123")
    with pytest.raises(StoreError, match="damaged"):
        FileSnapshots(home.snapshot, home.workers).version()


def test_a_live_worker_that_said_nothing_yet_counts_with_version_zero(home, snapshots):
    """A route is not called applied while a worker is still loading."""
    presence = WorkerPresence(home.workers, "w1")
    assert snapshots.acknowledgements() == [Acknowledgement(worker="w1", pid=os.getpid(), version=0, at=0)]
    presence.close()


def test_the_newest_word_of_each_live_worker_is_heard(home, snapshots):
    """Control sees which worker serves which version, and what it refused."""
    presences = [WorkerPresence(home.workers, name) for name in ("w1", "w2")]
    snapshots.acknowledge(Acknowledgement(worker="w1", pid=1, version=3, at=1))
    snapshots.acknowledge(Acknowledgement(worker="w1", pid=1, version=4, at=2, refused=(("sha256:x", "no sklearn"),)))
    snapshots.acknowledge(Acknowledgement(worker="w2", pid=2, version=4, at=2))
    words = snapshots.acknowledgements()
    assert [(word.worker, word.version) for word in words] == [("w1", 4), ("w2", 4)]
    assert words[0].refused == (("sha256:x", "no sklearn"),)
    for presence in presences:
        presence.close()


DYING = """
import sys, time
from pathlib import Path
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.stores.presence import WorkerPresence
from roadworthy.stores.snapshots import FileSnapshots
root = Path(sys.argv[1])
presence = WorkerPresence(root / "workers", "w1")
FileSnapshots(root / "snapshot", root / "workers").acknowledge(Acknowledgement(worker="w1", pid=1, version=3, at=1))
print("here", flush=True)
time.sleep(600)
"""


def test_the_word_of_a_killed_worker_is_swept_away(home, snapshots):
    """A worker that died holds up no route, and its name can be used again."""
    with subprocess.Popen([sys.executable, "-c", DYING, str(home.root)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "here\n"
        assert [word.version for word in snapshots.acknowledgements()] == [3]
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)
    assert snapshots.acknowledgements() == []
    assert list(home.workers.iterdir()) == []
    again = WorkerPresence(home.workers, "w1")
    assert [word.version for word in snapshots.acknowledgements()] == [0]
    again.close()


def test_two_workers_cannot_live_under_one_name(home):
    """One worker's word is never taken for another's."""
    presence = WorkerPresence(home.workers, "w1")
    with pytest.raises(StoreError, match="another worker"):
        WorkerPresence(home.workers, "w1")
    presence.close()


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 200, "w\n"])
def test_a_worker_name_cannot_leave_its_folder(home, snapshots, name):
    """Names are checked before they become paths."""
    with pytest.raises(InputError):
        WorkerPresence(home.workers, name)
    with pytest.raises(InputError):
        snapshots.acknowledge(Acknowledgement(worker=name, pid=1, version=1, at=1))
