"""Kills workers, the data plane's parent and control of a running `up` at random, and has the home checked.

`python tests/faults/chaos.py --count 1000 --seed 1`. Callers ask and post truths all the while; releases are promoted
and rolled back, by people and by the failure plan; the pager's receiver refuses some pages. After every 25 kills the
system must be well again by itself; then it ends, and a checker that imports nothing of the package reads what is on
the disk beside what callers and the receiver saw. Then writers of routes are killed likewise (`chaos_routes.py`). It
exits 1 at the first problem and leaves the home for a look.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import chaos_routes  # noqa: E402 (the kits are found through the line above)
from independent_loop_checker import check_loop  # noqa: E402

from callers_kit import Answer, Pager, Traffic  # noqa: E402
from journeys_kit import Played, Template, copy, is_alive, released, until  # noqa: E402
from roadworthy.errors import RoadworthyError  # noqa: E402

KILLS_A_ROUND = 25
WORKERS = 2
STARTS = 5
TARGETS = ("worker", "worker", "control", "control", "serve")
MOVES = ("bad", "bad", "twin", "good", "back", "canary")


@dataclass
class Told:
    """What chaos did and saw over all rounds."""

    kills: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    fallbacks: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    rollbacks: int = 0
    pages: int = 0
    entries: int = 0


@dataclass
class Window:
    """A span in which a kill may cost a request: what was killed, from when, until when it was back (monotonic)."""

    what: str
    begun: float
    dead: float
    workers: frozenset[int] = frozenset()
    back: float = float("inf")

    def excuses(self, one: Answer) -> bool:
        """Claim that a request may have been lost to this kill.

        A worker takes with it what it holds; without the data plane's parent nobody listens until it is back; control
        answers no request.
        """
        if self.what == "control" or one.ended < self.begun:
            return False
        return one.due <= (self.dead if self.what == "worker" else self.back)


def pid_of(played: Played, what: str, chance: random.Random) -> int:
    """Return whom to kill: the pid of a live process of a kind, 0 if there is none now."""
    if what == "control":
        return played.control_pid()
    if what == "serve":
        return played.serve_pid()
    pids = [pid for pid, _ in played.acknowledged().values()]
    return chance.choice(pids) if pids else 0


def strike(played: Played, what: str, chance: random.Random) -> Window | None:
    """Kill one process without warning; None if it was away already."""
    pid = pid_of(played, what, chance)
    if not pid or not is_alive(pid):
        return None
    workers = frozenset(pid for pid, _ in played.acknowledged().values())
    begun = time.monotonic()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), f"{what} {pid} is dead")
    return Window(what, begun, time.monotonic(), workers)


def move(played: Played, what: str) -> str:
    """Have a person promote or roll back; a refusal is an answer too."""
    try:
        match what:
            case "back":
                # To the baseline nobody goes on purpose here: behind it there is nothing left to answer.
                if played.champion() != "parcels@v1":
                    played.roll_back()
            case "canary":
                played.promote("twin", force=False)
            case _:
                played.promote(what)
    except RoadworthyError as refusal:
        return f"{what} refused ({refusal.code})"
    return what


def is_back(played: Played, window: Window) -> bool:
    """Claim that other workers than those of the killed data plane serve the route in force."""
    pids = {pid for pid, _ in played.acknowledged().values()}
    return not pids & window.workers and played.applied(WORKERS)


def is_well(played: Played) -> bool:
    """Claim that everything runs and serves the route in force."""
    return played.control_pid() != 0 and is_alive(played.control_pid()) and played.applied(WORKERS)


def is_told(played: Played) -> bool:
    """Claim that every page was delivered."""
    with played.plane() as plane:
        return all(one.state in ("done", "given up") for one in plane.deliveries.of("parcels"))


class Quiet:
    """Claims that every page was delivered and that no decision was added for a while."""

    def __init__(self, played: Played, seconds: float = 3.0) -> None:
        self._played = played
        self._seconds = seconds
        self._head = -1
        self._since = time.monotonic()

    def __call__(self) -> bool:
        """Look once more."""
        with self._played.plane() as plane:
            head = plane.ledger.head().seq
        if head != self._head:
            self._head, self._since = head, time.monotonic()
        return time.monotonic() - self._since >= self._seconds and is_told(self._played)


def one_round(
    played: Played, pager: Pager, kills: int, chance: random.Random, told: Told
) -> tuple[Traffic, list[Window]]:
    """Run everything, strike so many times under traffic, wait until it is well again, end it."""
    windows: list[Window] = []
    played.start(workers=WORKERS)
    with Traffic(played, rate=40, seed=chance.randrange(1 << 30), timeout_s=60) as traffic:
        while len(windows) < kills:
            if chance.random() < 0.5:
                told.moves[move(played, chance.choice(MOVES))] += 1
            if chance.random() < 0.1:
                pager.refuse(chance.randrange(1, 3))
            time.sleep(chance.random() * chance.choice((0.1, 0.5, 2.0)))
            window = strike(played, chance.choice(TARGETS), chance)
            if window is None:
                continue
            windows.append(window)
            told.kills[window.what] += 1
            if window.what == "serve":
                until(partial(is_back, played, window), "the data plane is back", played, 180)
                window.back = time.monotonic()
        until(lambda: is_well(played), "everything runs again", played, 180)
    settle(played)
    return traffic, windows


def settle(played: Played) -> None:
    """End everything once each page was delivered and no decision follows any more.

    The last outcomes may still show harm, and on a busy machine that takes longer than one thought: a page that is
    owed when everything ends must go out after the next start.
    """
    for _ in range(STARTS):
        until(Quiet(played), "every page was delivered and nothing more is decided", played, 240)
        played.stop()
        if is_told(played):
            return
        played.start(workers=WORKERS)


def judge(played: Played, pager: Pager, traffic: Traffic, windows: list[Window], seen: dict[str, Any]) -> list[str]:
    """Return every problem of a round: of the callers, and of what is on the disk."""
    unexcused = [one for one in traffic.bad() if not any(window.excuses(one) for window in windows)]
    problems = [f"{len(unexcused)} requests failed without a cause: {unexcused[:3]}"] if unexcused else []
    seen["answers"] += [[one.record, one.release] for one in traffic.answers if one.status == 200]
    seen["pages"] = sorted(pager.keys())
    (played.folder / "callers.json").write_text(json.dumps(seen))
    return problems + check_loop(played.home, seen)


def run(count: int, seed: int, template: Template, folder: Path) -> int:
    """Strike `count` times; return an exit code."""
    chance, told = random.Random(seed), Told()
    began, number, seen = time.monotonic(), 0, {"answers": []}
    with Pager() as pager:
        played = copy(template, folder / f"chaos-{seed}")
        try:
            # One automatic rollback a second, so that there is always another one to interrupt; a deadline that a
            # busy machine can meet, since missed deadlines have tests of their own; room for all who waited in the
            # backlog while nothing ran, since shedding has its tests too.
            played.apply(pager=pager.url, cool_down="1s", deadline="2s", in_flight="4096")
            while sum(told.kills.values()) < count:
                number += 1
                kills = min(KILLS_A_ROUND, count - sum(told.kills.values()))
                traffic, windows = one_round(played, pager, kills, chance, told)
                problems = judge(played, pager, traffic, windows, seen)
                tell(told, played, pager, traffic, time.monotonic() - began)
                if problems:
                    sys.stdout.write(
                        f"round {number} of seed {seed}: {'; '.join(problems[:10])}\nleft in {played.folder}\n"
                    )
                    return 1
        finally:
            played.close()
    shutil.rmtree(played.folder)
    return 0


def tell(told: Told, played: Played, pager: Pager, traffic: Traffic, seconds: float) -> None:
    """Print how far it is."""
    told.answers += sum(1 for one in traffic.answers if one.status == 200)
    told.fallbacks += sum(1 for one in traffic.answers if one.fallback)
    told.lost.update(f"{one.status or one.error}" for one in traffic.bad())
    done = played.events("action.done")
    told.rollbacks = sum(1 for one in done if one["after"]["action"] == "rollback")
    told.pages = len(pager.keys())
    told.entries = len(played.events())
    sys.stdout.write(
        f"{sum(told.kills.values())} kills {dict(told.kills)} in {seconds:.0f} s; moves {dict(told.moves)}; "
        f"{told.rollbacks} automatic rollbacks; {told.answers} answers ({told.fallbacks} by fallbacks), "
        f"lost to kills {dict(told.lost)}; {told.pages} pages; {told.entries} ledger entries\n"
    )
    sys.stdout.flush()


def main() -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000, help="kills of processes of a running system")
    parser.add_argument("--seed", type=int, default=20130101)
    parser.add_argument("--routes", type=int, default=500, help="rounds of two killed writers of routes")
    parser.add_argument("--project", type=Path, help="a folder with a released project of an earlier run, or for one")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    template = released(given.project or folder)
    code = run(given.count, given.seed, template, folder) if given.count else 0
    if code == 0 and given.routes:
        code = chaos_routes.run(given.routes, given.seed)
    if code == 0:
        shutil.rmtree(folder)
        sys.stdout.write("all held\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
