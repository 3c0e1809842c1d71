"""Checks a home whose whole loop was killed again and again; imports nothing of the package.

`python independent_loop_checker.py HOME --callers callers.json` prints each problem on a line and exits 1 if there is
any. The processes must have ended in order. `callers.json`, all optional: `answers` (a list of [record, release name]
that callers were given), `pages` (the keys that reached the pager's receiver).
"""

import argparse
import json
import sqlite3
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import duckdb
import msgspec
from independent_home_checker import check_files, check_ledger, check_snapshot, rows_of

FRAME = struct.Struct("=II")
SEGMENT_HEADER, RECORD_KIND = 64, 1
ID, RELEASE, INTENDED, ROUTE_VERSION = 1, 4, 5, 7
COUNTERS_SLOTS_AT, COUNTERS_NAMES_AT = 1 << 17, 64


def counters_of(home):
    """Add up the counters of all workers by name."""
    summed = Counter()
    for file in (home / "counters").glob("*.counters"):
        content = file.read_bytes()
        length = int.from_bytes(content[8:16], "little")
        for slot, name in enumerate(content[COUNTERS_NAMES_AT : COUNTERS_NAMES_AT + length].decode().splitlines()):
            summed[name] += int.from_bytes(content[COUNTERS_SLOTS_AT + 8 * slot :][:8], "little")
    return summed


def frames_of(file):
    """Go through the whole frames of a segment as arrays."""
    content, at = file.read_bytes(), SEGMENT_HEADER
    while at + FRAME.size <= len(content):
        length, checksum = FRAME.unpack_from(content, at)
        payload = content[at + FRAME.size : at + FRAME.size + length]
        if not length or len(payload) < length:
            return
        if zlib.crc32(payload) == checksum:
            yield msgspec.msgpack.decode(payload)
        at = (at + FRAME.size + length + 7) & ~7


def records_of(home):
    """Return (id, release, intended, route version) of every record that counts: in Parquet, or in a segment yet."""
    folder = home / "records"
    moved, files = set(), []
    if (folder / "catalogue.sqlite").exists():
        catalogue = sqlite3.connect(folder / "catalogue.sqlite")
        moved = {row["name"] for row in rows_of(catalogue, "segments")}
        files = [str(folder / row["path"]) for row in rows_of(catalogue, "files") if row["kind"] == "records"]
        catalogue.close()
    rows = []
    if files:
        rows = duckdb.execute(
            "select id, release, intended, route_version from read_parquet($files, hive_partitioning = false)",
            {"files": files},
        ).fetchall()
    for file in sorted((folder / "segments").glob("*.seg")):
        if file.name not in moved:
            rows += [
                (frame[ID], frame[RELEASE], frame[INTENDED], frame[ROUTE_VERSION])
                for frame in frames_of(file)
                if frame[0] == RECORD_KIND
            ]
    return rows


def check_books(home, rows):
    """Check that rows and counted losses are the answers, and that no record is there twice."""
    books, problems = counters_of(home), []
    if len({row[0] for row in rows}) != len(rows):
        problems.append("a record is there twice")
    if books["records"] != len(rows):
        problems.append(f"the books say {books['records']} records, there are {len(rows)}")
    if books["answers"] != len(rows) + books["unrecorded"]:
        problems.append(f"{books['answers']} answers, {len(rows)} rows, {books['unrecorded']} counted losses")
    return problems


def check_routes(entries, rows):
    """Check that each answer followed a route of the ledger, and that no process went back to an older one."""
    able_under, problems, newest = {}, [], {}
    for entry in entries:
        if entry["noun"] == "route":
            route = entry["after"]
            arms = {arm["release"] for arm in route["arms"] if arm["share"] > 0}
            able_under[route["version"]] = arms | set(route["fallback"])
    for record, release, intended, version in sorted(rows):
        able = able_under.get(version, set())
        # An answer by nobody names no release: the books count it all the same.
        if (release and release not in able) or intended not in able:
            problems.append(f"record {record} was answered by a release that route {version} does not name")
        process = int(record, 16) & ((1 << 48) - 1)
        if version < newest.get(process, 0):
            problems.append(f"record {record} went back to route {version} after {newest[process]}")
        newest[process] = max(version, newest.get(process, 0))
    return problems


def check_callers(entries, rows, seen):
    """Check that every answer that a caller holds is a record by the release it named."""
    names = {}
    for entry in entries:
        if entry["noun"] == "release":
            after = entry["after"]
            number = "baseline" if after["candidate"]["is_baseline"] else f"v{after['number']}"
            names[entry["subject"]] = f"{after['system']}@{number}"
    kept = {row[0]: names.get(row[1]) for row in rows}
    lost = [record for record, _ in seen.get("answers", []) if record not in kept]
    other = [record for record, name in seen.get("answers", []) if record in kept and kept[record] != name]
    problems = [f"{len(lost)} answers have no record: {lost[:3]}"] if lost else []
    return problems + ([f"{len(other)} records name another release than the answer: {other[:3]}"] if other else [])


def check_once(entries):
    """Check that no action was done twice, no rollout ended twice, no cause has two incidents."""
    done = Counter(row["subject"] for row in entries if row["kind"] == "action.done")
    problems = [f"action {subject} was done {n} times" for subject, n in done.items() if n > 1]
    ended = Counter(row["after"]["id"] for row in entries if row["kind"] in ("rollout.done", "rollout.aborted"))
    problems += [f"rollout {name} ended {n} times" for name, n in ended.items() if n > 1]
    open_now = {}
    for row in entries:
        if row["noun"] != "incident":
            continue
        after = row["after"]
        cause = (after["system"], after["environment"], after["objective"], after["release"])
        if row["kind"] == "incident.opened":
            if open_now.get(cause):
                problems.append(f"{row['subject']} opened while {open_now[cause]} was open for the same cause")
            open_now[cause] = row["subject"]
        elif row["kind"] == "incident.closed":
            open_now[cause] = ""
    return problems


def check_pages(database, entries, seen):
    """Check that the receiver has each page that was owed, no other, and that nothing is left to send."""
    if "pages" not in seen:
        return []
    owed = {
        row["subject"] for row in entries
        if row["kind"] == "action.attempted" and row["after"]["action"] == "page"
    }  # fmt: skip
    got = set(seen["pages"])
    left = [row["key"] for row in rows_of(database, "delivery") if row["state"] != "done"]
    problems = [f"page {key} never arrived" for key in sorted(owed - got)]
    problems += [f"page {key} was owed by nobody" for key in sorted(got - owed)]
    return problems + [f"delivery {key} was not finished" for key in left]


def check_loop(home, seen):
    """Return every problem of a home whose processes have ended."""
    database = sqlite3.connect(home / "control.sqlite")
    try:
        (state,) = database.execute("pragma integrity_check").fetchone()
        if state != "ok":
            return [f"the database is damaged: {state}"]
        entries, problems = check_ledger(database, 0)
        rows = records_of(home)
        problems += check_snapshot(home, entries, 0) + check_files(home) + check_books(home, rows)
        problems += check_routes(entries, rows) + check_callers(entries, rows, seen)
        return problems + check_once(entries) + check_pages(database, entries, seen)
    finally:
        database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--callers", type=Path)
    arguments = parser.parse_args()
    callers = json.loads(arguments.callers.read_text()) if arguments.callers else {}
    found = check_loop(arguments.home, callers)
    sys.stdout.write("".join(f"{problem}\n" for problem in found[:50]))
    sys.exit(1 if found else 0)
