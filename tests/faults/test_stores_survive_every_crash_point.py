"""A kill at any named place of a store leaves it whole, and the next process goes on."""

import importlib.util
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.lifecycle.backup import restore
from roadworthy.stores.crash_points import NAMES

HERE = Path(__file__).parent
STORES = ("artifact", "snapshot", "acknowledgement", "home", "backup", "ledger", "observations", "deliveries", "leases")
POINTS = sorted(name for name in NAMES if name.partition(".")[0] in (*STORES, "people"))


@pytest.fixture(scope="module")
def drive():
    """Run the driver on a home; return its exit code, the newest entry and snapshot it acknowledged, and its words."""
    command = [sys.executable, str(HERE / "store_driver.py"), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def ask(home, rounds, crash_at=""):
            server.stdin.write(json.dumps({"home": str(home), "rounds": rounds, "crash_at": crash_at}) + "\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            words = [line.split() for line in answer["said"].splitlines()]
            said = {
                name: max((int(word[1]) for word in words if word[:1] == [name]), default=0)
                for name in ("committed", "published")
            }
            return answer["code"], said, answer["said"]

        yield ask
        server.stdin.close()
        server.wait(30)


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKER = HERE / "independent_home_checker.py"
check = _load(CHECKER).check


def problems_of(home, said):
    """Ask the independent checker."""
    return "; ".join(check(home, said["committed"], said["published"]))


@pytest.fixture(scope="module")
def used_home(drive, tmp_path_factory):
    """A home that one round has written to."""
    home = tmp_path_factory.mktemp("used") / "home"
    code, said, words = drive(home, 1)
    assert (code, problems_of(home, said)) == (0, ""), words
    return home


def test_the_checker_knows_nothing_of_the_package():
    """It cannot share a mistake with what it checks."""
    assert not re.search(r"^\s*(from|import)\s+roadworthy", CHECKER.read_text(), re.MULTILINE)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_crash_point_leaves_every_store_whole(drive, used_home, tmp_path, point):
    """Old or new, never half: and a second run finishes what the first began."""
    home = tmp_path / "home"
    if not point.startswith("home."):
        shutil.copytree(used_home, home)
    code, said, words = drive(home, 2, point)
    assert code == -9, f"{point} was not reached: {words}"
    assert problems_of(home, said) == ""

    code, said_next, words = drive(home, 1)
    assert code == 0, words
    assert said_next["committed"] > said["committed"]
    assert problems_of(home, said_next) == ""
    for archive in (tmp_path / "backups").glob("*.tar"):
        restore(archive, tmp_path / archive.stem)


@pytest.mark.parametrize("passage", [2, 3, 5])
def test_a_kill_at_a_later_passage_of_creation_leaves_no_half_home(drive, tmp_path, passage):
    """Creating a home writes several files; dying between them leaves no home at all."""
    code, _, words = drive(tmp_path / "home", 1, f"home.after_rename@{passage}")
    assert code == -9, words
    assert not (tmp_path / "home").exists()
    code, said, words = drive(tmp_path / "home", 1)
    assert (code, problems_of(tmp_path / "home", said)) == (0, ""), words


def test_the_checker_itself_finds_damage(used_home, tmp_path):
    """A checker that cannot fail proves nothing: each kind of damage is seen."""
    for statement in (
        "update ledger set reason = 'x' where seq = 1",
        "delete from ledger where seq = 1",
        "update projection set state = '{}'",
        "update cursor set position = '7'",
        "update delivery set finished_at = null",
    ):
        home = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(used_home, home)
        with sqlite3.connect(home / "control.sqlite") as database:
            database.execute(statement)
        database.close()
        assert problems_of(home, {"committed": 0, "published": 0}), statement
    said = {"committed": 10_000, "published": 0}
    assert "acknowledged" in problems_of(used_home, said)
    home = tmp_path / "files"
    shutil.copytree(used_home, home)
    for file in [home / "snapshot/current.msgpack", *(p for p in (home / "artifacts").rglob("*") if p.is_file())]:
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-1])
    assert problems_of(home, {"committed": 0, "published": 0}).count("torn") == 2
