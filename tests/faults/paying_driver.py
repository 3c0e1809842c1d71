"""Spends, dies and settles in forked children of one small process, which loads the code once and starts no thread."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from paying_kit import Treasury, Worker
from roadworthy.domain.pin import Usage
from roadworthy.stores.crash_points import arm

ONE = Usage(output=1_000)


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


def run_forked(folder: Path, point: str) -> int:
    """Do that in a child; return how it ended (negative: the signal)."""
    pid = os.fork()
    if pid == 0:
        try:
            use(folder, point)
            os._exit(0)
        except BaseException:  # noqa: BLE001 (whatever a child dies of must be said)
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(f"{run_forked(Path(asked['folder']), asked['point'])}\n")
        sys.stdout.flush()
