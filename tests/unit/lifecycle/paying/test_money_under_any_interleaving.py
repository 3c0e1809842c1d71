"""Whatever workers, control and death do in whichever order, the cap holds and the three sums agree."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from paying_kit import PRICE, SYSTEM_DAY, Treasury, Worker
from roadworthy.domain.budget import Budget, Whose
from roadworthy.domain.lease import account_of
from roadworthy.domain.moment import DAY
from roadworthy.domain.pin import Usage
from roadworthy.lifecycle.budgets import purses

KEY_DAY = Budget(limit_micros=400, whose=Whose.KEY)
SIZES = st.builds(Usage, input=st.integers(0, 9_000), output=st.integers(0, 9_000))


class Spending(RuleBasedStateMachine):
    """Two budgets, up to three workers, kills at any step of a call, and control that starts anew."""

    @initialize()
    def open(self) -> None:
        """Make a home."""
        self.folder = tempfile.TemporaryDirectory()
        self.treasury = Treasury(Path(self.folder.name), (SYSTEM_DAY, KEY_DAY))
        self.workers: list[Worker] = [Worker(self.treasury, "w0")]
        self.births = 1
        self.days = 0
        self.billed_before = 0

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def start(self) -> None:
        """A worker starts under a name that another may have had."""
        taken = {worker.number for worker in self.workers}
        free = min(set(range(3)) - taken)
        self.workers.append(Worker(self.treasury, f"w{free}"))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), key=st.sampled_from(("k1", "k2")), most=SIZES, part=st.floats(0, 1), steps=st.integers(0, 6))
    def reserve(self, data, key, most, part, steps) -> None:
        """A call begins, and goes some steps on its way."""
        worker = data.draw(st.sampled_from(self.workers))
        call = worker.reserve(most, key=key)
        if call is None:
            self.treasury.paymaster.pay(None)
            call = worker.reserve(most, key=key)
        if call is not None:
            self._advance(worker, call, part, steps)

    @precondition(lambda self: any(worker.calls for worker in self.workers))
    @rule(data=st.data(), part=st.floats(0, 1), steps=st.integers(1, 6))
    def advance(self, data, part, steps) -> None:
        """A call goes on; it uses at most what was set aside for it."""
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.calls]))
        call = data.draw(st.sampled_from(worker.calls))
        self._advance(worker, call, part, steps)

    def _advance(self, worker, call, part, steps) -> None:
        usage = Usage(output=int(call.reservation.picos * part) // PRICE.output)
        for _ in range(steps):
            if call in worker.calls:
                worker.advance(call, usage)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def tend(self, data) -> None:
        """A worker gives back what lies idle."""
        data.draw(st.sampled_from(self.workers)).wallet.tend()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill(self, data) -> None:
        """A worker dies with whatever is under way."""
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        worker.die()

    @rule()
    def pay(self) -> None:
        """Control grants."""
        self.treasury.paymaster.pay(None)

    @rule(seconds=st.sampled_from((0, 10)), answers=st.booleans())
    def settle(self, seconds, answers) -> None:
        """Control settles the dead; the provider's books may be away."""
        self.treasury.invoice.answers = answers
        self.treasury.now_s += seconds
        self.treasury.settler.settle(None)

    @rule()
    def start_control_again(self) -> None:
        """Control dies and another takes over."""
        self.treasury.paymaster.close()
        self.treasury.start_control()

    @precondition(lambda self: self.days < 2)
    @rule()
    def next_day(self) -> None:
        """The period ends; calls under way stay in the purse they were paid from."""
        self.treasury.clock.pass_by(DAY)
        self.days += 1

    @invariant()
    def what_is_leased_and_settled_is_within_the_limit(self) -> None:
        """The one inequality that the cap rests on, in the database."""
        if not hasattr(self, "treasury"):
            return
        books = self.treasury.plane.purses.books()
        for name, state in books.purses.items():
            leases = {wallet: lease for (wallet, purse), lease in books.leases.items() if purse == name}
            account = account_of(state, leases, {})
            assert account.leased + account.settled <= account.limit
        for one in purses(self.treasury.plane, "chat"):
            assert one.spent + one.reserved <= one.limit

    def teardown(self) -> None:
        """At the end ledger, records and invoice say the same."""
        if not hasattr(self, "treasury"):
            return
        treasury = self.treasury
        treasury.invoice.answers = True
        treasury.finish(self.workers)
        assert treasury.plane.purses.books().purses == {}
        assert treasury.recorded() == treasury.invoice.total
        assert treasury.settled("system") == treasury.invoice.total
        assert treasury.settled("key") == treasury.invoice.total
        treasury.close()
        self.folder.cleanup()


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
