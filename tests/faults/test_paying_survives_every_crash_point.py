"""A kill at any named place of paying and settling loses no money and books none twice."""

import os
from pathlib import Path

import pytest

from paying_kit import PRICE, Treasury, Worker
from roadworthy.domain.pin import Usage
from roadworthy.stores.crash_points import NAMES, arm

POINTS = sorted(name for name in NAMES if name.partition(".")[0] in {"wallet", "purses", "settlement"})
ONE = Usage(output=1_000)


def run_forked(work):
    """Do work in a child; return how it ended (negative: the signal)."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 (whatever a child dies of is a failure)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def use(folder: Path, point: str) -> None:
    """Spend, die with a call under way, and settle, armed for a crash point."""
    treasury = Treasury.again(folder)
    arm(point)
    worker = Worker(treasury, "w0", idle_s=60.0)
    worker.pay_for(ONE)
    treasury.paymaster.pay(None)
    assert worker.pay_for(ONE)
    call = worker.reserve(ONE)
    worker.advance(call, ONE)
    worker.advance(call, ONE)
    worker.die()
    treasury.control(3)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_crash_point_of_paying_keeps_the_sums_equal(tmp_path, point):
    """Whoever comes next finishes it, and ledger and records equal the invoice."""
    Treasury(tmp_path).close()
    codes = [run_forked(lambda armed=armed: use(tmp_path, armed)) for armed in (point, "")]
    assert codes[1] == 0
    treasury = Treasury.again(tmp_path)
    treasury.finish([])
    billed = treasury.invoice.total
    assert billed >= PRICE.cost(ONE)
    assert treasury.recorded() == treasury.settled("system") == billed
    treasury.close()
    assert codes[0] == -9, f"{point} was never passed"
