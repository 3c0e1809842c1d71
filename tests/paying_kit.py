"""A home with a budget, workers that spend from it as a gateway does, and a provider that keeps an invoice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from roadworthy.domain.budget import Budget, Period
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.moment import DAY, Micros
from roadworthy.domain.open_call import COST_AT, OpenCall, cost_of
from roadworthy.domain.pin import PICO, Price, Usage, micros
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.record import Record
from roadworthy.domain.system import Owner, Policy
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle.budgets import GRACE, Paymaster
from roadworthy.lifecycle.settle import Patience, Settler
from roadworthy.ports.plane import Plane
from roadworthy.ports.wallet import Spender
from roadworthy.settings import Settings
from roadworthy.stores.codec import to_doc
from roadworthy.stores.home import create
from roadworthy.stores.records import new_record_id, open_log
from roadworthy.stores.wallets.wallet import FileReservation, open_wallet
from roadworthy.testing import FixedClock
from roadworthy.wiring import open_plane

PRICE = Price(input=3 * PICO // 1000, output=7 * PICO // 1000, version="kit-1")
SYSTEM_DAY = Budget(limit_micros=1_000, period=Period.DAY)


@dataclass
class Invoice:
    """What a provider bills, call by call, and whether its books answer."""

    calls: dict[str, Usage] = field(default_factory=dict)
    answers: bool = True

    def bill(self, call: OpenCall, usage: Usage) -> int:
        """Take a call; return what it costs."""
        assert call.id not in self.calls, "the provider was asked twice for one call"
        self.calls[call.id] = usage
        return call.price.cost(usage)

    def ask(self, call: OpenCall) -> Usage | None:
        """Answer as the books do."""
        if not self.answers:
            raise UnavailableError("the books are away")
        return self.calls.get(call.id)

    @property
    def total(self) -> int:
        """Everything billed, in picounits."""
        return sum(PRICE.cost(usage) for usage in self.calls.values())


class DiskInvoice(Invoice):
    """An invoice that outlives the process that asked."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        for line in path.read_text().splitlines() if path.exists() else ():
            name, output = line.split()
            self.calls[name] = Usage(output=int(output))

    def bill(self, call: OpenCall, usage: Usage) -> int:
        """Take a call and write it down."""
        with self.path.open("a") as file:
            file.write(f"{call.id} {usage.output}\n")
        return super().bill(call, usage)


@dataclass
class Call:
    """One call of a worker and how far it got."""

    reservation: FileReservation
    open_call: OpenCall
    stage: str = "reserved"
    cost: int = 0


class Worker:
    """Pays for calls in the order that a gateway keeps to."""

    def __init__(self, treasury: Treasury, name: str, idle_s: float = 0.0) -> None:
        self.treasury = treasury
        self.number = int(name[1:])
        plane = treasury.plane
        self.wallet = open_wallet(plane.home.budgets, name, plane.clock.now, idle_s=idle_s)
        self.log = open_log(plane.home.records, name, segment_bytes=1 << 16)
        self.calls: list[Call] = []
        self.turned_away = 0

    def reserve(self, usage: Usage, *, key: str = "k1", team: str = "", lookup: bool = True) -> Call | None:
        """Set money aside for a call that uses at most this."""
        budgets = self.treasury.budgets
        spender = Spender("chat", "live", key, team, budgets)
        found = self.wallet.reserve(spender, PRICE.cost(usage))
        if found is None:
            self.turned_away += 1
            return None
        now = self.treasury.plane.clock.now()
        call = OpenCall(
            record=new_record_id(self.number, now), attempt=1, system="chat", environment="live", release="r1",
            pin="mock", provider="openai", model="mock-1", price=PRICE, opened_at=now, lookup=lookup, key=key,
            team=team,
        )  # fmt: skip
        self.calls.append(Call(found, call))
        return self.calls[-1]

    def advance(self, call: Call, usage: Usage) -> None:
        """Take the call one step further."""
        if call.stage == "reserved":
            call.reservation.open(call.open_call)
            call.stage = "open"
        elif call.stage == "open":
            call.cost = self.treasury.invoice.bill(call.open_call, usage)
            call.stage = "billed"
        elif call.stage == "billed":
            call.reservation.ended(call.cost)
            call.stage = "ended"
        elif call.stage == "ended":
            assert self.log.record(record_of(call))
            call.stage = "recorded"
        else:
            call.reservation.settle()
            self.calls.remove(call)

    def finish(self, call: Call, usage: Usage) -> None:
        """Take the call to its end."""
        while call in self.calls:
            self.advance(call, usage)

    def pay_for(self, usage: Usage, **more: object) -> bool:
        """Make a whole call, if it can be paid."""
        call = self.reserve(usage, **more)
        if call is not None:
            self.finish(call, usage)
        return call is not None

    def die(self) -> None:
        """End as a kill does: nothing more is written, the locks are free."""
        self.wallet.close()
        self.log.close()


def record_of(call: Call) -> Record:
    """Write down an answer as the gateway does."""
    one = call.open_call
    outputs: list[str | int | None] = ["" for _ in TEXT_OUTPUTS]
    outputs[COST_AT] = call.cost
    return Record(
        id=one.record, system=one.system, environment=one.environment, release=one.release, intended=one.release,
        arm="champion", route_version=1, answered_at=one.opened_at, event_time=one.opened_at, latency_us=1, status=200,
        flags=0, interface="i", outputs=tuple(outputs), key=one.key, cost_micros=micros(call.cost),
    )  # fmt: skip


class Treasury:
    """A home with budgets, and the control that pays from them."""

    def __init__(self, folder: Path, budgets: Sequence[Budget] = (SYSTEM_DAY,), now: Micros = 40 * DAY) -> None:
        self.clock = FixedClock(now)
        opened = open_plane(Settings(home=create(folder / "home").root))
        self.plane: Plane = replace(opened, clock=self.clock)
        self.invoice = Invoice()
        self.limit(*budgets)
        self.now_s = 0.0
        self.patience = Patience(unknown_s=5.0, silent_s=50.0)
        self.start_control()

    def start_control(self) -> None:
        """Begin as a new control process does: with nothing in memory."""
        self.paymaster = Paymaster(self.plane)
        wall: Callable[[], float] = lambda: self.now_s  # noqa: E731 (one line)
        self.settler = Settler(self.plane, self.paymaster, self.invoice.ask, patience=self.patience, wall=wall)

    def limit(self, *budgets: Budget) -> None:
        """Put budgets in force."""
        self.budgets = budgets
        policy = Policy(owner=Owner(principal="ada", contact=""))
        policy = replace(policy, serve=replace(policy.serve, budgets=budgets))
        put = Decide(
            kind="policy.applied",
            system="chat",
            noun=Noun.POLICY,
            subject="chat",
            after=to_doc(policy),
            actor=AUTOMATION,
        )
        self.plane.ledger.commit([put])
        if hasattr(self, "paymaster"):
            self.paymaster.forget()

    def control(self, times: int = 1) -> None:
        """Look as control does."""
        for _ in range(times):
            self.paymaster.pay(None)
            self.settler.settle(None)

    def finish(self, workers: Sequence[Worker]) -> None:
        """Let everybody die, the period end and everything be settled."""
        for worker in workers:
            worker.die()
        self.control()
        self.now_s += 1_000
        self.control(2)
        self.clock.pass_by(32 * DAY + GRACE)
        self.control(3)

    def settled(self, budget: str = "") -> int:
        """What the ledger says was spent, by budgets of this name, in picounits."""
        return sum(
            event.after["spent_picos"]
            for event in self.plane.ledger.events()
            if event.kind == "budget.settled" and event.after and event.after["budget"].startswith(budget)
        )

    def recorded(self) -> int:
        """What the records say was spent, in picounits."""
        found = self.plane.records.scan("chat", "live", 0, 1 << 60)
        by_id: dict[str, list[int]] = defaultdict(list)
        for record in found:
            by_id[record.id].append(cost_of(record))
        assert all(len(costs) == 1 for costs in by_id.values()), "an answer has two records"
        return sum(costs[0] for costs in by_id.values())

    @classmethod
    def again(cls, folder: Path, now: Micros = 40 * DAY) -> Treasury:
        """Open a home that another process made; the invoice is on disk, one line a call."""
        self = cls.__new__(cls)
        self.clock = FixedClock(now)
        self.plane = replace(open_plane(Settings(home=folder / "home")), clock=self.clock)
        self.invoice = DiskInvoice(folder / "invoice")
        self.budgets = (SYSTEM_DAY,)
        self.now_s = 0.0
        self.patience = Patience(unknown_s=5.0, silent_s=50.0)
        self.start_control()
        return self

    def close(self) -> None:
        """Let go of files."""
        self.paymaster.close()
        self.plane.close()
