"""A worker that spends as a gateway does, against a real provider: a process to be killed. Not a test by itself.

`python paying_worker.py HOME NUMBER PROVIDER_URL TASKS` races that many tasks on the home's budgets until it is killed
or its standard input closes. Each task calls or streams; every seventh stream is dropped midway, and its cost is looked
up.
"""

import asyncio
import itertools
import random
import sys
from pathlib import Path

from roadworthy.domain.budget import Budget, Period, Whose
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.open_call import COST_AT, OURS, OpenCall
from roadworthy.domain.pin import Pin, Price, Provider, micros
from roadworthy.domain.record import Flag, Record
from roadworthy.ports.chat import ProviderTrouble
from roadworthy.ports.wallet import Spender
from roadworthy.runtimes.llm.openai import OpenAIModel, tagged
from roadworthy.stores.clock import clock_of
from roadworthy.stores.home import read_home
from roadworthy.stores.records import new_record_id, open_log
from roadworthy.stores.wallets.wallet import open_wallet

PRICE = Price(input=1_234_567, output=7_654_321, cached_input=123_456, per_call=11, version="race-1")
BUDGETS = (
    Budget(limit_micros=480_000, period=Period.MONTH),
    Budget(limit_micros=240_000, period=Period.MONTH, whose=Whose.KEY),
    Budget(limit_micros=320_000, period=Period.MONTH, whose=Whose.TEAM),
)
MOST_OUT = 24
MOST_IN = 24
QUESTION = "tell me a story about money that is never lost in any race of many"


class Racer:
    """The worker's parts."""

    def __init__(self, home, number, url):
        self.number = number
        self.clock = clock_of(home)
        self.log = open_log(home.records, f"w{number}", segment_bytes=1 << 18)
        self.wallet = open_wallet(home.budgets, f"w{number}", self.clock.now, idle_s=0.3)
        pin = Pin(name="mock", provider=Provider.OPENAI, model="mock-1", url=url, lookup=True, max_output=MOST_OUT)
        self.pin = pin
        self.model = OpenAIModel(pin, lambda _: "")
        self.chance = random.Random(number)

    async def race(self, tasks):
        """Spend until killed."""
        self.wallet.expect("chat", "live", BUDGETS)
        jobs = [asyncio.create_task(self.task(n)) for n in range(tasks)]
        tending = asyncio.create_task(self.tend())
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await ended
        for job in (*jobs, tending):
            job.cancel()
        await asyncio.gather(*jobs, tending, return_exceptions=True)
        await self.model.close()
        self.wallet.close()
        self.log.close()

    async def tend(self):
        """Look after the wallet as a worker's loop does."""
        while True:
            self.wallet.tend()
            await asyncio.sleep(0.1)

    async def task(self, number):
        """Make one call after the other."""
        spender = Spender("chat", "live", f"key{number % 3}", f"team{number % 2}", BUDGETS)
        for n in itertools.count():
            reservation = await self.wallet.paid(spender, PRICE.at_most(MOST_IN, MOST_OUT), 0.5)
            if reservation is None:
                await asyncio.sleep(0.05)
                continue
            await self.pay(reservation, spender, drops=(n % 7) == 6, streams=bool(n % 2) or (n % 7) == 6)

    async def pay(self, reservation, spender, *, drops, streams):
        """One call in the order that loses nothing."""
        now = self.clock.now()
        call = OpenCall(
            record=new_record_id(self.number, now), attempt=1, system="chat", environment="live", release="r1",
            pin="mock", provider="openai", model="mock-1", price=PRICE, opened_at=now, url=self.pin.url, lookup=True,
            key=spender.key, team=spender.team,
        )  # fmt: skip
        reservation.open(call)
        request = tagged(self.pin, {"messages": [{"role": "user", "content": QUESTION}]}, call.id)
        try:
            usage = await (self.stream(request, drops) if streams else self.whole(request))
        except ProviderTrouble:
            usage = None
        while usage is None:
            # The call was dropped or went wrong: its provider's books say what it cost.
            try:
                usage = await self.model.usage_of(f"{OURS}{call.id}")
            except ProviderTrouble:
                usage = None
            if usage is None:
                await asyncio.sleep(0.02)
        cost = PRICE.cost(usage)
        reservation.ended(cost)
        self.log.record(self.record(call, cost, drops))
        reservation.settle()

    async def whole(self, request):
        """Answer at once."""
        return (await self.model.complete(request, 20.0)).usage

    async def stream(self, request, drops):
        """Answer piece by piece; a dropped one is closed after some pieces, and nobody knows what it cost."""
        usage = None
        pieces = self.model.stream(request, 20.0)
        left = self.chance.randint(1, 6)
        async for chunk in pieces:
            usage = chunk.usage or usage
            left -= 1
            if drops and left <= 0:
                await pieces.aclose()
                return None
        return usage

    def record(self, call, cost, drops):
        """Write the answer down."""
        outputs = ["" for _ in TEXT_OUTPUTS]
        outputs[COST_AT] = cost
        return Record(
            id=call.record, system="chat", environment="live", release="r1", intended="r1", arm="champion",
            route_version=1, answered_at=call.opened_at, event_time=call.opened_at, latency_us=1, status=200,
            flags=int(Flag.ABANDONED if drops else 0), interface="i", outputs=tuple(outputs), key=call.key,
            cost_micros=micros(cost),
        )  # fmt: skip


def main(home, number, url, tasks):
    """Run until killed or told to end."""
    sys.stdout.write("up\n")
    sys.stdout.flush()
    racer = Racer(read_home(Path(home)), int(number), url)
    asyncio.run(racer.race(int(tasks)))


if __name__ == "__main__":
    main(*sys.argv[1:])
