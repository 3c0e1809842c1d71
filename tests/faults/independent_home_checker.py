"""Checks a home after a crash. Written from the architecture page alone: it imports nothing of the package.

`python independent_home_checker.py HOME [--committed SEQ] [--published VERSION]` prints each problem on a line and
exits 1 if there is any.
"""

import argparse
import hashlib
import json
import sqlite3
import sys
from pathlib import Path

import msgspec

GENESIS = "sha256:" + "0" * 64
SEALED = (
    *("seq", "at", "kind", "system", "environment", "noun", "subject", "actor", "assurance"),
    *("reason", "before", "after", "key", "previous", "version"),
)


def spelled(value):
    """Spell a value as the ledger hashes it: sorted keys, numbers as tagged decimal text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return f"#{value}"
    if isinstance(value, float):
        return f"#{int(value)}" if value.is_integer() and abs(value) < 2**53 else f"#{value!r}"
    if isinstance(value, str):
        return "#" + value if value.startswith("#") else value
    if isinstance(value, dict):
        return {key: spelled(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [spelled(item) for item in value]


def sealed(row):
    """Hash one entry."""
    text = json.dumps(spelled({name: row[name] for name in SEALED}), ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def rows_of(database, table):
    """Read a table as dictionaries."""
    database.row_factory = sqlite3.Row
    return [dict(row) for row in database.execute(f"select * from {table}")]


def check_ledger(database, committed):
    """Check the chain, the keys and the present; return the entries, the fold and the problems."""
    entries = sorted(rows_of(database, "ledger"), key=lambda row: row["seq"])
    problems, previous, fold, keys = [], GENESIS, {}, set()
    for place, row in enumerate(entries, 1):
        for name in ("before", "after"):
            row[name] = None if row[name] is None else json.loads(row[name])
        if row["seq"] != place or row["previous"] != previous or sealed(row) != row["hash"]:
            problems.append(f"entry {place} of the ledger does not hold")
            break
        if row["key"] and row["key"] in keys:
            problems.append(f"key {row['key']} was carried out twice")
        keys.add(row["key"])
        if row["before"] != fold.get((row["noun"], row["subject"])):
            problems.append(f"entry {place} does not say what was before")
        fold[row["noun"], row["subject"]] = row["after"]
        previous = row["hash"]
    if len(entries) < committed:
        problems.append(f"entry {committed} was acknowledged, the ledger ends at {len(entries)}")
    present = {
        (row["noun"], row["subject"]): None if row["state"] is None else json.loads(row["state"])
        for row in rows_of(database, "projection")
    }
    if present != fold:
        problems.append("the projections are not the fold of the ledger")
    return entries, problems


def check_snapshot(home, entries, published):
    """Check that the snapshot is whole and that each route in it is the one the ledger had at its version."""
    shown = int.from_bytes((home / "snapshot/version").read_bytes(), "little", signed=True)
    file = home / "snapshot/current.msgpack"
    if not file.exists():
        return [f"version {shown} is shown without a snapshot"] if shown else []
    content = file.read_bytes()
    body = content[40:]
    if content[:8] != b"RWSNAP1\n" or hashlib.sha256(body).digest() != content[8:40]:
        return ["the snapshot is torn"]
    snapshot = msgspec.msgpack.decode(body)
    version = snapshot["version"]
    problems = []
    if not max(shown, published) <= version <= len(entries):
        problems.append(f"snapshot {version}, shown {shown}, published {published}, ledger {len(entries)}")
    routes = {row["subject"]: row["after"] for row in entries[:version] if row["noun"] == "route"}
    served = {f"{item['name']}/{item['environment']}": item["route"] for item in snapshot["systems"]}
    if served != routes:
        problems.append(f"the snapshot's routes are not those of entry {version}")
    return problems


def check_files(home):
    """Check that artifacts are absent or whole and acknowledgements readable."""
    problems = [
        f"artifact {file.name} is torn"
        for file in (home / "artifacts").rglob("*")
        if file.is_file() and not file.name.startswith(".")
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.name
    ]
    return problems + [
        f"{file.name} is torn"
        for file in (home / "workers").glob("*.ack")
        if not file.name.startswith(".") and "version" not in msgspec.msgpack.decode(file.read_bytes())
    ]


def check_tables(database):
    """Check that what was folded is what the cursor says, and that deliveries are in a lawful state."""
    cursor = database.execute("select position from cursor where name = 'records'").fetchone()
    folded = sum(msgspec.msgpack.decode(row["document"])["n"] for row in rows_of(database, "bucket"))
    problems = []
    if folded != int(cursor[0] if cursor else 0):
        problems.append(f"{folded} frames are in buckets, the cursor is at {cursor and cursor[0]}")
    for row in rows_of(database, "delivery"):
        is_finished = row["finished_at"] is not None
        if is_finished != (row["state"] in ("done", "given up")) or (row["state"] == "done" and row["attempts"] < 1):
            problems.append(f"delivery {row['key']} is {row['state']} after {row['attempts']} attempts")
    return problems


def check(home, committed=0, published=0):
    """Return every problem of a home; an absent home has none."""
    if not home.exists():
        return []
    if json.loads((home / "home.json").read_bytes())["format"] != 1:
        return ["another format"]
    database = sqlite3.connect(home / "control.sqlite")
    try:
        (state,) = database.execute("pragma integrity_check").fetchone()
        if state != "ok":
            return [f"the database is damaged: {state}"]
        entries, problems = check_ledger(database, committed)
        return problems + check_snapshot(home, entries, published) + check_files(home) + check_tables(database)
    finally:
        database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--committed", type=int, default=0)
    parser.add_argument("--published", type=int, default=0)
    arguments = parser.parse_args()
    found = check(arguments.home, arguments.committed, arguments.published)
    sys.stdout.write("".join(f"{problem}\n" for problem in found))
    sys.exit(1 if found else 0)
