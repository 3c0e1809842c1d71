"""Kills processes at random instants while they change routes, and checks after each kill.

`python chaos_routes.py --count 1000 --seed 7`. Two writers race to change a route and publish it, a reader polls the
snapshot as a worker does; one writer or both are killed. Prints one line and exits 1 at the first problem, naming
round and seed.
"""

import argparse
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

import store_driver
from independent_home_checker import check

from roadworthy.lifecycle.publish import publish
from roadworthy.settings import Settings
from roadworthy.stores.home import create, open_home
from roadworthy.stores.snapshots import FileSnapshots
from roadworthy.wiring import open_plane

WORD = struct.Struct("<cq")
ROUNDS_A_HOME = 40


def write_forever(root, pipe):
    """Change the route and publish it until killed; acknowledge both."""
    plane = open_plane(Settings(home=root))
    store_driver.put_policy(plane)
    os.write(pipe, WORD.pack(b"r", 0))
    while True:
        seq = store_driver.change_route(plane)
        if seq is not None:
            os.write(pipe, WORD.pack(b"c", seq))
        snapshot = publish(plane)
        if snapshot is not None:
            os.write(pipe, WORD.pack(b"p", snapshot.version))


def read_forever(root, pipe):
    """Poll the snapshot as a worker does; say so if it is ever torn, missing or older than one seen before."""
    home = open_home(root)
    snapshots = FileSnapshots(home.snapshot, home.workers)
    seen = 0
    os.write(pipe, WORD.pack(b"r", 0))
    while True:
        shown = snapshots.version()
        if shown <= seen:
            time.sleep(0.0002)
            continue
        snapshot = snapshots.read()
        if snapshot is None or snapshot.version < shown:
            os.write(pipe, WORD.pack(b"x", shown))
        seen = shown


def fork(work, root):
    """Run a function in a child process; return its pid and the pipe it speaks through."""
    listen, speak = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(listen)
        try:
            work(root, speak)
        except BaseException as problem:  # noqa: BLE001 (whatever a child dies of must be said)
            os.write(2, f"{work.__name__}: {problem!r}\n".encode())
            os.write(speak, WORD.pack(b"x", 0))
        finally:
            os._exit(1)
    os.close(speak)
    return pid, listen


def words_of(pipe):
    """Read everything a dead child said."""
    said = b""
    while chunk := os.read(pipe, 1 << 16):
        said += chunk
    os.close(pipe)
    return [WORD.unpack_from(said, at) for at in range(0, len(said) - WORD.size + 1, WORD.size)]


def one_round(root, chance):
    """Start writers and a reader, kill them at a random instant, return what they said."""
    children = [fork(write_forever, root), fork(write_forever, root), fork(read_forever, root)]
    ready = b"".join(os.read(pipe, WORD.size) for _, pipe in children)
    # One writer may die long before the other, so that the survivor goes on over what the dead one left.
    order = children[:2]
    chance.shuffle(order)
    for pid, _ in [*order, children[2]]:
        time.sleep(chance.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    words = [WORD.unpack_from(ready, at) for at in range(0, len(ready), WORD.size)]
    return words + [word for _, pipe in children for word in words_of(pipe)]


def check_round(root, words):
    """Return the problems of a round."""
    newest = {kind: max((n for word, n in words if word == kind), default=0) for kind in (b"c", b"p")}
    problems = check(root, committed=newest[b"c"], published=newest[b"p"])
    if any(kind == b"x" for kind, _ in words):
        problems.append("a process saw a torn or missing snapshot, or failed")
    acknowledged = [n for kind, n in words if kind == b"c"]
    if len(acknowledged) != len(set(acknowledged)):
        problems.append("two writers were told that they made the same entry")
    return problems


def run(count, seed):
    """Go through the rounds; return an exit code."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-routes-"))
    changes = kills = 0
    for number in range(count):
        root = folder / f"home-{number // ROUNDS_A_HOME}"
        if number % ROUNDS_A_HOME == 0:
            shutil.rmtree(folder / f"home-{number // ROUNDS_A_HOME - 1}", ignore_errors=True)
            create(root)
        words = one_round(root, chance)
        changes += sum(kind == b"c" for kind, _ in words)
        kills += 2
        problems = check_round(root, words)
        if problems:
            sys.stdout.write(f"round {number} of seed {seed}: {'; '.join(problems)} (left in {root})\n")
            return 1
    shutil.rmtree(folder)
    sys.stdout.write(f"{kills} writers killed in {count} rounds over {changes} acknowledged route changes: all held\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500, help="rounds; two writers are killed in each")
    parser.add_argument("--seed", type=int, default=20130101)
    arguments = parser.parse_args()
    sys.exit(run(arguments.count, arguments.seed))
