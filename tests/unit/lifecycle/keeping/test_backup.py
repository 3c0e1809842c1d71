"""Backups: of one moment, while others write; restored only when everything in them holds."""

import io
import json
import multiprocessing
import shutil
import sqlite3
import tarfile
import time

import pytest

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION, Actor, Scope
from roadworthy.domain.record import Record
from roadworthy.errors import ArtifactError, InputError, NotPermitted, StoreError
from roadworthy.lifecycle import backup as backup_module
from roadworthy.lifecycle.backup import backup, restore
from roadworthy.lifecycle.keys import authenticate, create_key
from roadworthy.lifecycle.publish import publish
from roadworthy.lifecycle.verify_ledger import export_head, read_head, verify_ledger
from roadworthy.settings import Settings
from roadworthy.stores.home import create, secret_of
from roadworthy.stores.metadata import Metadata
from roadworthy.stores.records import new_record_id, open_log
from roadworthy.wiring import open_plane

ADA = Actor(principal="ada")


@pytest.fixture
def plane(tmp_path):
    """A home with decisions, an artifact, a key, a snapshot and records."""
    home = create(tmp_path / "home")
    opened = open_plane(Settings(home=home.root))
    opened.artifacts.put(b"the model")
    opened.ledger.commit([run(n) for n in range(3)])
    publish(opened)
    log = open_log(home.records, "w1")
    for n in range(50):
        assert log.record(record(n))
    log.close()
    yield opened
    opened.close()


def run(n):
    """Decide about a run."""
    return Decide(kind="run.finished", system="s", noun=Noun.RUN, subject=str(n), after={"n": n}, actor=AUTOMATION)


def record(n):
    """An answer."""
    now = time.time_ns() // 1_000
    return Record(
        id=new_record_id(1, now),
        system="s",
        environment="live",
        release="r",
        intended="r",
        arm="champion",
        route_version=1,
        answered_at=now,
        event_time=now,
        latency_us=10,
        status=200,
        flags=0,
        interface="i",
        inputs=(n,),
    )


def test_a_restored_home_is_the_home_of_that_moment(plane, tmp_path):
    """Ledger, keys, artifacts, snapshot and records work elsewhere as they did here."""
    key = create_key(plane, "svc", [Scope.READ], ADA)
    done = backup(plane, tmp_path / "b.tar.gz", with_secret=True)
    plane.ledger.commit([run(99)])
    restored = restore(done.path, tmp_path / "elsewhere" / "home")
    assert restored.head == done.head
    assert restored.with_secret
    there = open_plane(Settings(home=tmp_path / "elsewhere" / "home"))
    assert verify_ledger(there.ledger, done.head).holds
    assert there.ledger.state(Noun.RUN, "99") is None
    assert there.home.id == plane.home.id
    assert there.artifacts.get(plane.artifacts.put(b"the model")) == b"the model"
    assert there.snapshots.read() == plane.snapshots.read()
    assert there.snapshots.version() == plane.snapshots.version()
    assert authenticate(there, key.text, Scope.READ).principal == "svc"
    assert len(there.records.tail().records) == 50
    assert there.records.losses() == plane.records.losses()
    assert secret_of(there.home) == secret_of(plane.home)
    there.close()


def test_compacted_records_are_in_the_backup(plane, tmp_path):
    """Rows that were moved to Parquet come back with the catalogue that names them."""
    assert plane.records.compact() > 0
    done = backup(plane, tmp_path)
    assert done.path.parent == tmp_path
    restore(done.path, tmp_path / "there")
    there = open_plane(Settings(home=tmp_path / "there"))
    assert there.records.query("select count(*) as n from records") == [{"n": 50}]
    there.close()


def test_a_backup_without_the_secret_says_so_and_makes_a_new_one(plane, tmp_path):
    """The secret travels only when it is asked for."""
    done = backup(plane, tmp_path / "b.tar")
    with tarfile.open(done.path) as tar:
        assert "secret" not in tar.getnames()
    restored = restore(done.path, tmp_path / "there")
    assert not restored.with_secret
    assert secret_of(restored.home) != secret_of(plane.home)


def _keep_deciding(root, ready):
    busy = open_plane(Settings(home=root))
    log = open_log(busy.home.records, "w2")
    for n in range(1_000, 1_000_000):
        digest = busy.artifacts.put(f"model {n}".encode())
        busy.ledger.commit([run(n), Decide(**{**_fields(run(n)), "subject": f"d{n}", "after": {"artifact": digest}})])
        publish(busy)
        log.record(record(n))
        if n == 1_003:
            busy.records.compact()
            ready.set()


def _fields(decision):
    return {name: getattr(decision, name) for name in decision.__dataclass_fields__}


def test_a_backup_taken_while_another_process_decides_is_consistent(plane, tmp_path):
    """Under load a backup still holds one moment: its ledger verifies, and every artifact it names is in it."""
    root = plane.home.root
    plane.close()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    busy = context.Process(target=_keep_deciding, args=(root, ready))
    busy.start()
    assert ready.wait(60)
    here = open_plane(Settings(home=root))
    backups = [backup(here, tmp_path / f"b{n}.tar") for n in range(3)]
    busy.kill()
    busy.join()
    assert backups[0].head.seq < backups[2].head.seq
    for n, done in enumerate(backups):
        restore(done.path, tmp_path / f"there{n}")
        there = open_plane(Settings(home=tmp_path / f"there{n}"))
        assert verify_ledger(there.ledger, done.head).entries == done.head.seq
        named = [state["artifact"] for state in there.ledger.states(Noun.RUN).values() if "artifact" in state]
        assert named
        assert all(there.artifacts.get(digest) for digest in named)
        assert there.snapshots.version() <= done.head.seq
        books = there.records.losses()
        assert books.answers == books.records + books.unrecorded
        assert there.records.query("select count(*) as n from records") == [{"n": books.records}]
        there.close()
    here.close()


def test_a_home_in_which_nothing_happened_yet_can_be_backed_up(tmp_path):
    """The first backup may come before the first release."""
    create(tmp_path / "home", clock="replay", now=42)
    here = open_plane(Settings(home=tmp_path / "home"))
    restored = restore(backup(here, tmp_path / "b.tar").path, tmp_path / "there")
    here.close()
    there = open_plane(Settings(home=restored.home.root))
    assert (restored.head.seq, there.clock.now(), there.snapshots.version()) == (0, 42, 0)
    there.close()


def test_nothing_is_overwritten(plane, tmp_path):
    """Neither a backup nor a home gives way to another by accident."""
    done = backup(plane, tmp_path / "b.tar")
    with pytest.raises(InputError, match="never overwritten"):
        backup(plane, tmp_path / "b.tar")
    with pytest.raises(InputError, match="exists"):
        restore(done.path, plane.home.root)
    with pytest.raises(InputError, match="inside its home"):
        backup(plane, plane.home.root / "b.tar")
    with pytest.raises(InputError, match="no backup"):
        restore(tmp_path / "absent.tar", tmp_path / "there")


def rewritten(path, target, change):
    """Copy an archive with its members changed."""
    with tarfile.open(path) as source, tarfile.open(target, "w") as copy:
        for name, content in change([(m.name, source.extractfile(m).read()) for m in source]):
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            copy.addfile(info, io.BytesIO(content))
    return target


def link(name):
    """A symbolic link that points out of the target."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


CHANGES = {
    "a file altered": lambda files: [(n, bytes([c[0] ^ 1]) + c[1:] if n == "clock" else c) for n, c in files],
    "a file missing": lambda files: [f for f in files if f[0] != "clock"],
    "a file added": lambda files: [("artifacts/extra", b"x"), *files],
    "a file twice": lambda files: [files[0], *files],
    "cut off": lambda files: files[:-1],
    "a path upwards": lambda files: [("../escaped", b"x"), *files],
    "an absolute path": lambda files: [("/tmp/escaped-roadworthy", b"x"), *files],
    "an odd path": lambda files: [("a/./b", b"x"), *files],
    "a link": lambda files: [(link("snapshot/x"), b""), *files],
    "a newer format": lambda files: [
        (n, json.dumps({**json.loads(c), "format": 99}).encode() if n == "manifest.json" else c) for n, c in files
    ],
    "a manifest that is no JSON": lambda files: [(n, b"{" if n == "manifest.json" else c) for n, c in files],
    "another head": lambda files: [
        (n, c.replace(b'"hash":"sha256:', b'"hash":"sha256:0') if n == "manifest.json" else c) for n, c in files
    ],
    "no home": lambda files: [("manifest.json", json.dumps({"format": 1, "about": {}, "files": {}}).encode())],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_archive_that_is_not_whole_and_unaltered_restores_nothing(plane, tmp_path, change):
    """Whatever was done to an archive, nothing is restored from it and nothing is written outside."""
    done = backup(plane, tmp_path / "b.tar")
    bad = rewritten(done.path, tmp_path / "bad.tar", change)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises((InputError, StoreError)):
        restore(bad, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + b"\x00" * 50])
def test_what_is_no_archive_is_one_clear_message(tmp_path, content):
    """A wrong file is said to be no backup."""
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(InputError, match="backup"):
        restore(tmp_path / "b.tar", tmp_path / "there")


def test_an_archive_larger_than_its_limits_is_refused(plane, tmp_path):
    """A small archive that unpacks to a huge one fills no disk."""
    done = backup(plane, tmp_path / "b.tar.gz")
    for limits in ({"max_bytes": 1_000}, {"max_files": 2}):
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="unpacks to more"):
            backup_module.extract(done.path, tmp_path / "out", **limits)
        shutil.rmtree(tmp_path / "out")


def test_a_damaged_artifact_or_ledger_makes_no_home(plane, tmp_path):
    """A backup of damaged bytes is found out at the latest when it is restored."""
    path = plane.artifacts.path(plane.artifacts.put(b"the model"))
    path.chmod(0o644)
    path.write_bytes(b"another model")
    done = backup(plane, tmp_path / "a.tar")
    with pytest.raises(ArtifactError, match="altered"):
        restore(done.path, tmp_path / "there")
    path.write_bytes(b"the model")
    with sqlite3.connect(plane.home.database) as database:
        database.execute("update ledger set reason = 'another' where seq = 2")
    database.close()
    done = backup(plane, tmp_path / "l.tar")
    with pytest.raises(StoreError, match="entry 2"):
        restore(done.path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_backup_of_an_older_schema_becomes_a_home_of_this_one(plane, tmp_path):
    """Old backups stay useful after an upgrade of the program."""
    plane.home.database.unlink()
    for suffix in ("-wal", "-shm"):
        plane.home.database.with_name(f"control.sqlite{suffix}").unlink(missing_ok=True)
    plane.close()
    Metadata(plane.home.database).upgrade("0001")
    done = backup(plane, tmp_path / "old.tar")
    assert restore(done.path, tmp_path / "there").head.seq == 0


def test_an_exported_head_is_read_back_and_a_wrong_file_refused(plane, tmp_path):
    """The head that is kept elsewhere proves the ledger later."""
    head = export_head(plane, tmp_path / "head.json")
    assert read_head(tmp_path / "head.json") == head
    plane.ledger.commit([run(7)])
    assert verify_ledger(plane.ledger, read_head(tmp_path / "head.json")).holds
    for content in ("", "[]", '{"seq": "x"}'):
        (tmp_path / "wrong.json").write_text(content)
        with pytest.raises(InputError, match="no exported head"):
            read_head(tmp_path / "wrong.json")


def test_a_key_revoked_after_the_backup_opens_the_restored_home(plane, tmp_path):
    """A restored home is of its moment, in this too; the one who restores is told by the ledger's head."""
    key = create_key(plane, "svc", [Scope.READ], ADA)
    done = backup(plane, tmp_path / "b.tar")
    restore(done.path, tmp_path / "there")
    there = open_plane(Settings(home=tmp_path / "there"))
    assert authenticate(there, key.text, Scope.READ)
    with pytest.raises(NotPermitted):
        authenticate(there, key.text, Scope.ADMIN)
    there.close()
