"""Homes: created whole, opened with clear refusals, upgraded from older schemas."""

import errno
import json
import sqlite3
import stat

import pytest

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION
from roadworthy.errors import InputError, NotFoundError, StoreError
from roadworthy.lifecycle.verify_ledger import verify_ledger
from roadworthy.stores.clock import SystemClock
from roadworthy.stores.home import create, open_home, secret_of, upgrade
from roadworthy.stores.ledger import SqlLedger
from roadworthy.stores.metadata import HEAD, REVISIONS, Metadata, check_database, copy_database
from roadworthy.stores.migrations.run import newest


def schema_of(path):
    """Read every table, column and index as SQLite understands them."""
    database = sqlite3.connect(path)
    names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table' order by name")]
    found = {}
    for name in names:
        columns = database.execute(f"pragma table_xinfo('{name}')").fetchall()
        indexes = {}
        for _, index, unique, origin, partial in database.execute(f"pragma index_list('{name}')").fetchall():
            on = [row[2] for row in database.execute(f"pragma index_info('{index}')").fetchall()]
            indexes[tuple(on), origin] = (unique, partial)
        rowid = database.execute(f"select wr from pragma_table_list where name = '{name}'").fetchone()
        found[name] = (columns, indexes, rowid)
    database.close()
    return found


def test_a_created_home_opens_and_keeps_its_identity(tmp_path):
    """What was created is what is opened, wherever it is opened from."""
    made = create(tmp_path / "home", clock="replay", now=1_000)
    assert open_home(tmp_path / "home") == made
    assert made.is_replay
    assert made.root.is_absolute()
    assert json.loads((made.root / "home.json").read_bytes())["format"] == 1


def test_a_home_ignores_itself_in_git_and_its_secret_is_private(tmp_path):
    """A home inside a project is never committed; only its owner reads its secret."""
    home = create(tmp_path / "home")
    assert (home.root / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(home.secret_file.stat().st_mode) == 0o600
    assert len(secret_of(home)) == 32
    assert secret_of(home) != secret_of(create(tmp_path / "another"))


def test_a_damaged_secret_is_refused(tmp_path):
    """Digests are never keyed with half a secret."""
    home = create(tmp_path / "home")
    home.secret_file.write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        secret_of(home)


def test_creating_over_something_is_refused_and_touches_nothing(tmp_path):
    """Neither another home nor a stranger's files are overwritten."""
    home = create(tmp_path / "home")
    before = home.secret_file.read_bytes()
    with pytest.raises(StoreError, match="already"):
        create(tmp_path / "home")
    assert home.secret_file.read_bytes() == before
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no home"):
        create(tmp_path / "files")
    with pytest.raises(InputError, match="sundial"):
        create(tmp_path / "x", clock="sundial")


def test_an_empty_folder_can_become_a_home(tmp_path):
    """A folder that was made in advance is no obstacle."""
    (tmp_path / "home").mkdir()
    assert create(tmp_path / "home").database.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_opening_what_is_no_home_says_how_to_make_one(tmp_path):
    """The first command in a wrong folder ends in a next step."""
    with pytest.raises(NotFoundError, match="roadworthy init"):
        open_home(tmp_path)


def test_a_home_of_a_newer_format_is_refused(tmp_path):
    """An older program does not misread a newer home."""
    home = create(tmp_path / "home")
    document = json.loads((home.root / "home.json").read_bytes())
    (home.root / "home.json").write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        open_home(home.root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": "x", "id": 1}'])
def test_a_damaged_home_file_is_one_clear_message(tmp_path, content):
    """Whatever is in the file, the answer is a sentence."""
    home = create(tmp_path / "home")
    (home.root / "home.json").write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        open_home(home.root)


def test_a_missing_database_is_said_and_not_replaced_by_an_empty_one(tmp_path):
    """A lost ledger is never papered over."""
    home = create(tmp_path / "home")
    home.database.unlink()
    with pytest.raises(StoreError, match="is missing"):
        open_home(home.root)
    assert not home.database.exists()


def test_every_revision_has_a_migration_and_the_newest_is_the_head():
    """The code and the migrations agree on where the schema is."""
    assert newest() == HEAD == REVISIONS[-1]


def test_a_fresh_schema_equals_a_migrated_one(tmp_path):
    """Whether a home was created today or upgraded from the first version, its tables are the same."""
    fresh, migrated = Metadata(tmp_path / "fresh.sqlite"), Metadata(tmp_path / "migrated.sqlite")
    fresh.create()
    for revision in REVISIONS:
        migrated.upgrade(revision)
    fresh.close()
    migrated.close()
    assert schema_of(tmp_path / "fresh.sqlite") == schema_of(tmp_path / "migrated.sqlite")


def test_a_home_of_the_first_schema_is_upgraded_and_loses_nothing(tmp_path):
    """An old home asks for `upgrade`; afterwards its ledger verifies and its present is what it was."""
    home = create(tmp_path / "home")
    home.database.unlink()
    old = Metadata(home.database)
    old.upgrade("0001")
    ledger = SqlLedger(old, SystemClock(), home.id)
    ledger.commit([Decide(kind="k", system="s", noun=Noun.RUN, subject="1", after={"x": 1}, actor=AUTOMATION)])
    old.close()
    with pytest.raises(StoreError, match="roadworthy upgrade"):
        open_home(home.root)

    assert upgrade(home.root) == ("0001", HEAD)
    assert upgrade(home.root) == (HEAD, HEAD)
    ledger = SqlLedger(Metadata(open_home(home.root).database), SystemClock(), home.id)
    assert verify_ledger(ledger).entries == 1
    assert ledger.state(Noun.RUN, "1") == {"x": 1}


def test_a_schema_of_a_newer_version_is_refused(tmp_path):
    """Neither opening nor upgrading touches tables that this version does not know."""
    home = create(tmp_path / "home")
    with sqlite3.connect(home.database) as database:
        database.execute("update alembic_version set version_num = '9999'")
    database.close()
    for attempt in (open_home, upgrade):
        with pytest.raises(StoreError, match="9999"):
            attempt(home.root)


def test_a_creation_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    """A full disk half way through `init` leaves no half home to trip over."""

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Metadata, "create", full)
    with pytest.raises(StoreError, match="the disk is full"):
        create(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_a_home_without_any_schema_asks_for_an_upgrade(tmp_path):
    """An empty database file is not taken for a ledger without entries."""
    home = create(tmp_path / "home")
    home.database.unlink()
    sqlite3.connect(home.database).close()
    home.database.touch()
    with pytest.raises(StoreError, match="schema none"):
        open_home(home.root)


def test_a_damaged_page_of_the_database_is_found(tmp_path):
    """Copying or checking a damaged database ends in a sentence that names the file."""
    home = create(tmp_path / "home")
    check_database(home.database)
    content = bytearray(home.database.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * 4096 * 2
    home.database.write_bytes(content)
    with pytest.raises(StoreError, match=r"control\.sqlite"):
        check_database(home.database)
    home.database.write_bytes(b"no database at all" * 300)
    with pytest.raises(StoreError, match="no database"):
        copy_database(home.database, tmp_path / "copy.sqlite")
    with pytest.raises(StoreError, match="no database"):
        check_database(home.database)
