"""What it costs to set money aside and book it: our wallet, a bare SQLite transaction, a bare dict.

`python benchmarks/wallet.py [--calls 20000]` prints microseconds a call, the median of five rounds.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from roadworthy.domain.budget import Budget, Whose
from roadworthy.domain.lease import Told
from roadworthy.domain.open_call import OpenCall
from roadworthy.domain.pin import Price
from roadworthy.ports.wallet import Spender
from roadworthy.stores.wallets.folder import Wallets
from roadworthy.stores.wallets.wallet import FileWallet, open_wallet

ROUNDS = 5
MOST = 1_000_000
CALL = OpenCall(
    record="0" * 32, attempt=1, system="chat", environment="live", release="sha256:" + "0" * 64, pin="main",
    provider="openai", model="gpt", price=Price(input=150_000, output=600_000), opened_at=1,
    url="https://api.openai.com/v1", secret="env:KEY", lookup=True, key="k1", team="search",
    intended="sha256:" + "0" * 64, arm="champion", route_version=3, interface="sha256:" + "0" * 64,
)  # fmt: skip


def granted(folder: Path, budgets: tuple[Budget, ...]) -> tuple[FileWallet, Spender]:
    """Return a wallet whose leases are in hand, and who spends from it."""
    wallet = open_wallet(folder, f"w{len(budgets)}", lambda: time.time_ns() // 1_000)
    spender = Spender("chat", "live", "k1", "search", budgets)
    wallet.reserve(spender, MOST)
    told = Wallets(folder).open(wallet.path.name.removesuffix(".wallet"))
    assert told is not None
    for slot in told.slots():
        told.tell(slot, Told(granted=1 << 60))
    return wallet, spender


def of_wallet(wallet: FileWallet, spender: Spender, *, opens: bool) -> Callable[[], None]:
    """Return one call: set aside, write the call down, say its cost, book it."""

    def call() -> None:
        found = wallet.reserve(spender, MOST)
        assert found is not None
        if opens:
            found.open(CALL)
            found.ended(700_000)
        found.settle(700_000)

    return call


def of_dict() -> Callable[[], None]:
    """Return the same sums in a dict, which no kill survives."""
    purse = {"granted": 1 << 60, "reserved": 0, "spent": 0}

    def call() -> None:
        if purse["spent"] + purse["reserved"] + MOST <= purse["granted"]:
            purse["reserved"] += MOST
        purse["reserved"] -= MOST
        purse["spent"] += 700_000

    return call


def of_sqlite(folder: Path) -> Callable[[], None]:
    """Return two transactions, write-ahead log, not waiting for the disk: what a shared table would cost at least."""
    database = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=normal")
    database.execute("create table purse (reserved integer, spent integer, cap integer)")
    database.execute("insert into purse values (0, 0, ?)", (1 << 60,))

    def call() -> None:
        database.execute("begin immediate")
        database.execute("update purse set reserved = reserved + ? where reserved + spent + ? <= cap", (MOST, MOST))
        database.execute("commit")
        database.execute("begin immediate")
        database.execute("update purse set reserved = reserved - ?, spent = spent + ?", (MOST, 700_000))
        database.execute("commit")

    return call


def median_us(call: Callable[[], None], calls: int) -> float:
    """Return µs a call."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - began) / calls * 1e6)
    return statistics.median(rounds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        one = (Budget(limit_micros=10**9),)
        three = (*one, Budget(limit_micros=10**9, whose=Whose.KEY), Budget(limit_micros=10**9, whose=Whose.TEAM))
        rows = {
            "a bare dict (nothing survives a kill)": (of_dict(), calls),
            "wallet, one budget: reserve + settle": (of_wallet(*granted(folder, one), opens=False), calls),
            "wallet, one budget: reserve + open + ended + settle": (
                of_wallet(*granted(folder, one), opens=True),
                calls,
            ),
            "wallet, three budgets: reserve + open + ended + settle": (
                of_wallet(*granted(folder, three), opens=True),
                calls,
            ),
            "a bare SQLite transaction each way": (of_sqlite(folder), min(calls, 5_000)),
        }
        for name, (call, n) in rows.items():
            print(f"{name:58} {median_us(call, n):8.2f} µs")


if __name__ == "__main__":
    main()
