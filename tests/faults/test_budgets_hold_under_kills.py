"""Real workers race on real budgets against a provider that keeps an invoice, and are killed at random."""

import contextlib
import importlib.util
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from providers_kit import MockOpenAI
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY
from roadworthy.domain.open_call import cost_of
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.record import Flag
from roadworthy.domain.system import Owner, Policy
from roadworthy.lifecycle.budgets import purses
from roadworthy.settings import Settings
from roadworthy.stores.clock import set_clock
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.wiring import open_plane

HERE = Path(__file__).parent
WORKERS = 4
TASKS = 16
KILLS = 12
PATIENCE_S = 90


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


paying_worker = _load(HERE / "paying_worker.py")
BUDGETS, PRICE = paying_worker.BUDGETS, paying_worker.PRICE


class Child:
    """A process that is started, killed and started again."""

    def __init__(self, *command):
        self.command = [sys.executable, *map(str, command)]
        self.start()

    def start(self):
        """Start it and wait until it is up."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"up\n"

    def kill(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self):
        """Let it end by itself."""
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


def until(holds, what):
    """Poll until something holds."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, f"still not so: {what}"
        time.sleep(0.05)


@pytest.fixture
def plane(tmp_path):
    """A home with a replayed clock, so that a month ends when the test says so, and three budgets."""
    home = create(tmp_path / "home", "replay", now=40 * DAY)
    opened = open_plane(Settings(home=home.root))
    policy = Policy(owner=Owner(principal="ada", contact=""))
    policy = replace(policy, serve=replace(policy.serve, budgets=BUDGETS))
    put = Decide(
        kind="policy.applied", system="chat", noun=Noun.POLICY, subject="chat", after=to_doc(policy), actor=AUTOMATION
    )
    opened.ledger.commit([put])
    yield opened
    opened.close()


def test_sixty_four_racers_over_killed_workers_never_pass_the_cap_and_every_sum_agrees(plane):
    """The provider's own invoice stays within the cap; ledger and records equal it to the picounit."""
    chance = random.Random(7)
    with MockOpenAI(token_gap_s=0.01) as provider, contextlib.ExitStack() as stack:
        control = Child(HERE / "paying_control.py", plane.home.root)
        stack.callback(lambda: control.process.kill())  # noqa: PLW0108 (the process changes)
        command = (HERE / "paying_worker.py", plane.home.root)
        workers = [Child(*command, n, provider.url, TASKS) for n in range(WORKERS)]
        for worker in workers:
            stack.callback(lambda worker=worker: worker.process.kill())
        for n in range(KILLS):
            billed = len(provider.invoice)
            until(lambda billed=billed: len(provider.invoice) > billed + 5 or _is_spent(plane), "the race goes on")
            victim = control if n % 5 == 4 else chance.choice(workers)
            victim.kill()
            victim.start()
        until(lambda: _is_spent(plane), "somebody is turned away")
        for worker in workers:
            worker.kill() if chance.random() < 0.5 else worker.end()
        until(lambda: not list(plane.home.budgets.glob("*.wallet")), "every dead worker is settled")
        set_clock(plane.home, 40 * DAY + 31 * DAY)
        until(lambda: not plane.purses.books().purses, "every purse is closed")
        control.end()
        invoice = provider.cost(PRICE)
        _check_sums(plane, invoice)
        assert all(line.is_settled for line in provider.invoice.values())


def _is_spent(plane):
    return any(one.turned_away for one in purses(plane, "chat") if one.purse.budget.startswith("system"))


def _check_sums(plane, invoice):
    cap = BUDGETS[0].limit
    assert cap // 2 < invoice <= cap
    records = list(plane.records.scan("chat", "live", 0, 1 << 60))
    assert len({record.id for record in records}) == len(records)
    assert sum(map(cost_of, records)) == invoice
    ended = [event.after for event in plane.ledger.events() if event.kind == "budget.settled"]
    totals = Counter()
    for purse in ended:
        totals[purse["budget"]] += purse["spent_picos"]
        assert purse["spent_picos"] <= purse["limit_picos"], purse
        assert purse["spent_micros"] == -(-purse["spent_picos"] // 1_000_000)
    assert dict(totals) == dict.fromkeys((budget.name for budget in BUDGETS), invoice)
    keys = Counter()
    for record in records:
        keys[record.key] += cost_of(record)
    assert {purse["who"]: purse["spent_picos"] for purse in ended if purse["budget"] == "key/month"} == keys
    flags = Counter(flag for record in records for flag in (Flag.LOST, Flag.ABANDONED) if record.flags & flag)
    assert flags[Flag.LOST], "no kill hit a call under way"
    assert flags[Flag.ABANDONED], "no stream was dropped"
    exhausted = [event for event in plane.ledger.events() if event.kind == "budget.exhausted"]
    assert len({event.subject for event in exhausted}) == len(exhausted) > 0


def test_the_racer_asks_for_no_more_than_it_sets_aside():
    """What is set aside is the most that the mock can bill for its question."""
    assert len(paying_worker.QUESTION.split()) <= paying_worker.MOST_IN
