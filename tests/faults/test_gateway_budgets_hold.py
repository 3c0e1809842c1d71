"""Budgets through the real gateway: callers race over several workers, hang up, and workers are killed."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Self

from llm_kit import PRICE, SYSTEM, Chat, chatting, pin_of
from providers_kit import MockOpenAI
from roadworthy.domain.open_call import cost_of
from roadworthy.domain.pin import Price
from roadworthy.domain.record import Flag
from roadworthy.stores.home import read_home
from serving_kit import until

CALLERS = 64
KILLS = 4
PICOS = Price(input=150_000, output=600_000)
CAP_MICROS = 60_000
FAR = 1 << 60


class Callers:
    """So many callers at once; some hang up in the middle of a stream."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._stop = threading.Event()
        self.statuses: list[int] = []
        self.hung_up = 0
        self.marks: set[str] = set()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _call(self, number: int) -> None:
        chance = random.Random(number)
        while not self._stop.is_set():
            line = http.client.HTTPConnection("127.0.0.1", self._chat.port, timeout=30)
            try:
                self._ask(line, chance)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)  # the worker was killed
            finally:
                line.close()

    def _ask(self, line: http.client.HTTPConnection, chance: random.Random) -> None:
        streams = chance.random() < 0.5
        document = {
            "model": SYSTEM, "stream": streams, "max_tokens": 40,
            "messages": [{"role": "user", "content": f"Tell me story {chance.random()}"}],
        }  # fmt: skip
        headers = {"authorization": f"Bearer {self._chat.key}", "content-type": "application/json"}
        line.request("POST", "/v1/chat/completions", json.dumps(document), headers)
        answer = line.getresponse()
        self.statuses.append(answer.status)
        self.marks.add(answer.getheader("x-roadworthy-fallback") or "")
        if streams and chance.random() < 0.3:
            answer.read(40)
            self.hung_up += 1
            return
        answer.read()


def billed(mock: MockOpenAI) -> int:
    """Return what the provider billed for answers, in picounits; probes of the model are no answers."""
    return sum(PICOS.cost(line.usage) for line in list(mock.invoice.values()) if line.metadata)


def worker_pids(chat: Chat) -> list[int]:
    """Return the processes that hold a worker's presence."""
    home = read_home(chat.plane.home.root)
    found = []
    for proc in Path("/proc").iterdir():
        if not proc.name.isdigit():
            continue
        try:
            command = (proc / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"roadworthy.serving.worker" in command and str(home.root).encode() in command:
            found.append(int(proc.name))
    return found


def test_no_race_passes_the_cap_and_the_records_equal_the_invoice(tmp_path: Path) -> None:
    """Killed workers and abandoned streams included: the provider never billed more, and every picounit is recorded.

    A caller who comes too late is answered by the baseline, marked as such, and never by an error.
    """
    with MockOpenAI(token_gap_s=0.005) as mock:
        pins = {"main": pin_of(mock, lookup=True, price=PRICE)}
        serve = {"budgets": [f"{CAP_MICROS / 1e6:.2f} USD per month"], "deadline": "20s"}
        with chatting(tmp_path, pins, up=True, workers=2, serve=serve) as chat:
            chance, cap = random.Random(5), CAP_MICROS * 1_000_000
            with Callers(chat) as callers:
                for _ in range(KILLS):
                    before = billed(mock)
                    until(lambda before=before: billed(mock) > before or "baseline" in callers.marks, "it goes on")
                    pids = worker_pids(chat)
                    if pids:
                        os.kill(chance.choice(pids), signal.SIGKILL)
                    time.sleep(0.5)
                # The baseline also answers while a new worker waits for its first lease.
                until(lambda: "baseline" in callers.marks and billed(mock) > cap // 2, "the budget is spent", 120)
            invoice = billed(mock)
            assert invoice <= cap
            assert callers.hung_up
            assert set(callers.statuses) <= {200}

            def sums_agree() -> bool:
                records = list(chat.plane.records.scan(SYSTEM, "live", 0, FAR))
                return sum(map(cost_of, records)) == billed(mock)

            until(sums_agree, f"records equal the invoice of {billed(mock)}", 90)
            records = list(chat.plane.records.scan(SYSTEM, "live", 0, FAR))
            assert billed(mock) <= cap
            assert len({record.id for record in records}) == len(records)
            assert any(record.flags & Flag.FALLBACK for record in records)
