"""What only the ledger on disk can show: durability, tampering, races between processes, broken disks."""

import multiprocessing
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from roadworthy.domain.ledger import Decide, Head, Noun, replay, verify
from roadworthy.domain.principal import AUTOMATION
from roadworthy.errors import Conflict, InputError, StoreError
from roadworthy.lifecycle.verify_ledger import verify_ledger
from roadworthy.stores.clock import SystemClock
from roadworthy.stores.home import create
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import Metadata


@pytest.fixture
def ledger(home, metadata):
    """A ledger with five entries over three subjects."""
    opened = SqlLedger(metadata, SystemClock(), home.id)
    for n in range(5):
        opened.commit([decide(n, f"s{n % 3}/live")])
    return opened


def decide(n, subject, **fields):
    """Decide about a route."""
    return Decide(
        kind="route.changed", system="s", noun=Noun.ROUTE, subject=subject, after={"n": n}, actor=AUTOMATION, **fields
    )


def tamper(home, *statements):
    """Change the database behind the ledger's back."""
    with sqlite3.connect(home.database) as database:
        for statement in statements:
            assert database.execute(statement).rowcount != 0
    database.close()


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("update ledger set reason = 'another' where seq = 3", 3),
        ("update ledger set after = '{\"n\":99}' where seq = 2", 2),
        ("update ledger set after = '{broken' where seq = 4", 4),
        ("update ledger set actor = 'eve' where seq = 1", 1),
        ("update ledger set at = at + 1 where seq = 5", 5),
        ("update ledger set hash = previous where seq = 3", 3),
        ("delete from ledger where seq = 3", 3),
        ("delete from ledger where seq = 1", 1),
    ],
)
def test_verify_names_the_first_entry_that_was_edited_or_deleted(home, ledger, change, broken_at):
    """Whoever edits one row is found, and the row is named."""
    tamper(home, change)
    found = verify_ledger(ledger)
    assert not found.holds
    assert found.broken_at == broken_at
    assert str(broken_at) in found.problem


def test_verify_names_the_first_entry_that_was_reordered(home, ledger):
    """Two entries that changed places are found."""
    tamper(
        home,
        "update ledger set seq = 1000 where seq = 2",
        "update ledger set seq = 2 where seq = 4",
        "update ledger set seq = 4 where seq = 1000",
    )
    assert verify_ledger(ledger).broken_at == 2


def test_a_truncation_is_proven_by_a_head_exported_before(home, ledger):
    """Cutting off the newest entries and their present leaves no trace in the chain, but the exported head has it."""
    head = ledger.head()
    tamper(
        home,
        "delete from ledger where seq = 5",
        "update projection set seq = 2, state = '{\"n\":1}' where subject = 's1/live'",
    )
    assert verify_ledger(ledger).holds
    found = verify_ledger(ledger, head)
    assert found.broken_at == 5
    assert "truncated" in found.problem


def test_a_clumsy_truncation_shows_in_the_present(home, ledger):
    """Cutting off entries without mending the projections is found without any exported head."""
    tamper(home, "delete from ledger where seq = 5")
    assert "s1/live" in verify_ledger(ledger).problem


def test_an_edited_present_is_found(home, ledger):
    """The table that is read in daily work cannot be changed behind the ledger."""
    tamper(home, "update projection set state = '{\"n\":77}' where subject = 's0/live'")
    assert "s0/live" in verify_ledger(ledger).problem


def test_a_head_of_another_home_proves_nothing(ledger):
    """Mixing up two homes is said, not reported as tampering."""
    with pytest.raises(InputError):
        verify_ledger(ledger, Head(home="another", seq=1, hash="x", at=0))


def test_projections_can_be_rebuilt_from_the_ledger(home, ledger):
    """A damaged present is folded again from the decisions."""
    before = ledger.projected()
    tamper(home, "delete from projection where subject = 's0/live'", "update projection set state = '{}'")
    assert ledger.rebuild_projections() == 5
    assert ledger.projected() == before == replay(ledger.events())


def test_a_long_ledger_is_read_in_pages(ledger):
    """Reading does not stop at the size of one page."""
    ledger.commit([decide(n, f"x{n}/live") for n in range(2_400)])
    assert verify(ledger.events()).entries == 2_405
    assert [event.seq for event in ledger.events(after=2_403)] == [2_404, 2_405]


def _increment(path, home_id, times):
    metadata = Metadata(path)
    ledger = SqlLedger(metadata, SystemClock(), home_id)
    done = 0
    while done < times:
        seq = ledger.seq_of(Noun.ROUTE, "counter/live")
        n = (ledger.state(Noun.ROUTE, "counter/live") or {"n": 0})["n"]
        try:
            ledger.commit([decide(n + 1, "counter/live", expected=seq)])
        except Conflict:
            continue
        done += 1
    metadata.close()


def test_processes_that_race_lose_no_decision(home):
    """Three processes that read, decide and commit end with exactly the sum of what they did."""
    # Forked: no database is open here yet, and a spawned process could not import this file.
    fork = multiprocessing.get_context("fork")
    racers = [fork.Process(target=_increment, args=(home.database, home.id, 20)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    ledger = SqlLedger(Metadata(home.database), SystemClock(), home.id)
    assert ledger.state(Noun.ROUTE, "counter/live") == {"n": 60}
    assert verify_ledger(ledger).holds


def test_a_locked_database_is_one_clear_message(home, ledger):
    """Another process that holds the database too long is named as the cause."""
    holder = sqlite3.connect(home.database, isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(StoreError, match="another process holds it"):
        ledger.commit([decide(1, "a/live")])
    assert ledger.head().seq == 5
    holder.execute("rollback")
    holder.close()
    assert ledger.commit([decide(1, "a/live")])


def test_a_damaged_database_is_one_clear_message(home):
    """A file that is no database is said to be none."""
    home.database.write_bytes(b"no database at all, " * 100)
    for suffix in ("-wal", "-shm"):
        home.database.with_name(home.database.name + suffix).unlink(missing_ok=True)
    with pytest.raises(StoreError, match="no database"):
        SqlLedger(Metadata(home.database), SystemClock(), home.id).head()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION
from roadworthy.errors import StoreError
from roadworthy.stores.clock import SystemClock
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import Metadata
ledger = SqlLedger(Metadata(Path(sys.argv[1])), SystemClock(), "h")
def commit(n):
    big = {"x": "y" * 4000}
    ledger.commit([Decide(kind="k", system="s", noun=Noun.RUN, subject=str(n), after=big, actor=AUTOMATION)])
commit(0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
done = 1
try:
    for n in range(1, 1000):
        commit(n)
        done += 1
except StoreError as problem:
    print(done, str(problem).replace(chr(10), " "))
"""


def test_a_disk_that_refuses_writes_loses_nothing_and_says_so(home):
    """When no more bytes can be written, the commit fails with one message and earlier entries hold."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(home.database)], capture_output=True, text=True, check=True, timeout=60
    )
    done, _, message = ran.stdout.partition(" ")
    assert message.startswith(f"cannot write {home.database}: the disk"), ran.stdout
    ledger = SqlLedger(Metadata(home.database), SystemClock(), home.id)
    assert ledger.head().seq == int(done)
    assert verify_ledger(ledger).holds


READ_ONLY = """
import os, sys
from pathlib import Path
from roadworthy.errors import StoreError
from roadworthy.stores.home import open_home
if os.geteuid() == 0:
    os.setuid(65534)
try:
    open_home(Path(sys.argv[1]))
except StoreError as problem:
    print(problem)
"""


def test_a_read_only_home_is_one_clear_message():
    """A user who may not write gets a sentence and a next step, not a traceback."""
    # Not under tmp_path: its parents are closed to the other user that a test run by root becomes.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = create(Path(folder) / "home")
        home.root.chmod(0o555)
        ran = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(home.root)], capture_output=True, text=True, check=True, timeout=60
        )
        home.root.chmod(0o755)
    assert "may not be written by this user" in ran.stdout
    assert "next:" in ran.stdout


class Busy:
    """A ledger into which someone commits whenever its present is read, a number of times."""

    def __init__(self, ledger, times):
        self._ledger, self._left = ledger, times

    def states(self, noun):
        """Commit, then answer."""
        if self._left:
            self._left -= 1
            self._ledger.commit([decide(self._left, "busy/live")])
        return self._ledger.states(noun)

    def __getattr__(self, name):
        return getattr(self._ledger, name)


@pytest.mark.parametrize("times", [1, 30, 10**6])
def test_a_ledger_that_is_written_while_it_is_verified_holds(ledger, times):
    """Verifying a busy home raises no false alarm."""
    assert verify_ledger(Busy(ledger, times)).holds
