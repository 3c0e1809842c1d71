"""Force a model live under traffic and measure how soon it is gone.

`python tests/forced_live.py --count 20` prints a table: 20 runs of a bad model, each measured from the N-th bad outcome
accepted (N is the bound that `plan` states; the first one, where it was gone before the N-th) to the last answer by
that release in any of two workers, and 20 runs of one as good as the champion, which must stay. Exits 1 if a run misses
its claim.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from callers_kit import Pager, Traffic, paging_holds
from journeys_kit import PATIENCE_S, SYSTEM, Played, ledger_holds, playing, released, until

BUDGET_S = 10.0


@dataclass(frozen=True)
class Run:
    """One model forced live: its bound, what came of it, what callers saw."""

    bound: int
    bad_outcomes: int
    seconds: float
    requests: int
    failed: int
    fallbacks: int
    rolled_back: bool


def bound_of(played: Played, candidate: str) -> int:
    """Read from `plan` how many bad outcomes in a row set the harm rule off at the latest."""
    for rule in played.ask("plan")["rules"]:
        for bound in rule["bounds"]:
            if bound["release"] == candidate:
                return int(bound["n"])
    raise AssertionError(f"the plan states no bound for {candidate}")


def force_and_measure(played: Played, candidate: str, *, rate: float, outcomes: int = 0, seed: int = 7) -> Run:
    """Force a candidate live under traffic with truths.

    Without `outcomes` wait until it was rolled back and every worker follows; with it, until so many outcomes of it
    were accepted.
    """
    with Traffic(played, rate=rate, seed=seed) as traffic:
        until(lambda: traffic.by_release()[f"{SYSTEM}@v1"] >= 20, "v1 answers", played)
        traffic.truth = False  # else it could be gone before the plan is printed
        played.promote(candidate)
        name = played.champion()
        bound = bound_of(played, played.candidates[candidate])
        traffic.truth = True
        if outcomes:
            until(lambda: _of(traffic, name) >= outcomes or _is_back(played), f"{outcomes} outcomes", played, 300)
        else:
            until(lambda: _is_back(played), "it was rolled back", played)
            until(lambda: played.applied(2), "every worker follows", played)
            seen = len(traffic.answers)
            until(lambda: len(traffic.answers) >= seen + rate, "traffic goes on", played)
    answered = [one.ended for one in traffic.answers if one.release == name and one.status == 200]
    bad = [at for at, one in traffic.accepted if one.release == name and one.label != str(one.late)]
    # Where it was gone before the N-th, the clock runs from the first.
    nth = (bad[bound - 1] if len(bad) >= bound else bad[0]) if bad else 0.0
    return Run(
        bound=bound, bad_outcomes=len(bad), seconds=0.0 if outcomes else max(0.0, max(answered) - nth),
        requests=len(traffic.answers),
        failed=len(traffic.bad()) + len(traffic.outcome_failures),
        fallbacks=sum(1 for one in traffic.answers if one.fallback), rolled_back=_is_back(played),
    )  # fmt: skip


def _of(traffic: Traffic, name: str) -> int:
    return sum(1 for _, one in list(traffic.accepted) if one.release == name)


def _is_back(played: Played) -> bool:
    return played.champion() == f"{SYSTEM}@v1"


def main() -> int:
    """Do it often and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--rate", type=float, default=60.0)
    parser.add_argument("--outcomes", type=int, default=600, help="outcomes of each run of the good model")
    parser.add_argument("--project", type=Path, help="a folder with a released project of an earlier run, or for one")
    given = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as name, Pager() as pager:
        template = released(given.project or Path(name))
        with playing(template, Path(name) / "running") as played:
            # The cool-down would make the fallback answer from the second run on; that is another rule's proof.
            played.apply(pager=pager.url, cool_down="1s")
            played.start(workers=2)
            for number in range(1, given.count + 1):
                run = force_and_measure(played, "bad", rate=given.rate, seed=number)
                held = run.rolled_back and run.seconds < BUDGET_S and not run.failed
                missed += not held
                sys.stdout.write(f"bad  {number:3} {'holds' if held else 'MISSED'} {run}\n")
                sys.stdout.flush()
                time.sleep(1.0)
            for number in range(1, given.count + 1):
                run = force_and_measure(played, "twin", rate=given.rate, outcomes=given.outcomes, seed=100 + number)
                held = not run.rolled_back and not run.failed
                missed += not held
                sys.stdout.write(f"good {number:3} {'holds' if held else 'MISSED'} {run}\n")
                sys.stdout.flush()
                played.promote("v1")
            until(lambda: len(pager.about("harm")) >= given.count, "every page arrived", played, PATIENCE_S)
            paging_holds(played, pager)
            entries = ledger_holds(played)
    sys.stdout.write(f"{2 * given.count - missed} of {2 * given.count} runs hold; {entries} ledger entries verify\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
