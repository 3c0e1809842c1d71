"""Crash points: each has a name, each name is used, and an unarmed one does nothing."""

import re
from pathlib import Path

import pytest

import roadworthy
from roadworthy.errors import InputError
from roadworthy.stores import crash_points
from roadworthy.stores.crash_points import COMMITTED, NAMES, WRITTEN, arm, crash_point

SOURCES = [path for path in Path(roadworthy.__file__).parent.rglob("*.py") if path.name != "crash_points.py"]


@pytest.fixture(autouse=True)
def disarmed():
    """Leave no test armed."""
    yield
    arm("")


def test_every_crash_point_in_the_sources_is_registered():
    """A crash point that no test can name would never be tried."""
    found = {name for path in SOURCES for name in re.findall(r'\bcrash_point\(\s*"([^"]+)"', path.read_text())}
    assert found
    assert found <= NAMES


def test_every_label_of_a_write_or_commit_is_registered():
    """The labels given to atomic writes and transactions are those that tests go through."""
    text = "\n".join(path.read_text() for path in SOURCES)
    written = set(re.findall(r'write_(?:bytes|stream)\((?:[^()]|\([^()]*\))*?,\s*"([a-z_]+)"', text))
    committed = set(re.findall(r'\.writing\("([a-z_]+)"\)', text))
    assert written
    assert written <= set(WRITTEN)
    assert {"ledger", "observations"} <= committed <= set(COMMITTED)


def test_an_unarmed_process_passes_every_point():
    """Production code is not changed by the points in it."""
    for name in NAMES:
        crash_point(name)


def test_an_armed_point_kills_at_the_named_passage(monkeypatch):
    """`@3` lets two passages through."""
    kills = []
    monkeypatch.setattr(crash_points.os, "kill", lambda pid, number: kills.append(number))
    arm("ledger.before_commit@3")
    for _ in range(2):
        crash_point("ledger.before_commit")
        crash_point("ledger.after_commit")
    assert kills == []
    crash_point("ledger.before_commit")
    assert kills == [9]


@pytest.mark.parametrize("spec", ["nowhere", "ledger.before_commit@0", "ledger.before_commit@x", "@2x"])
def test_a_misspelt_point_is_refused(spec):
    """A test that arms nothing must not pass as if it had."""
    with pytest.raises(InputError):
        arm(spec)
