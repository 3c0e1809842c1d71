"""A control process that pays and settles, to be killed: `python paying_control.py HOME`. Not a test by itself."""

import asyncio
import sys
from pathlib import Path

from roadworthy.domain.rollout import Progress
from roadworthy.lifecycle.control import Control
from roadworthy.lifecycle.settle import Patience
from roadworthy.settings import Settings, from_environment
from roadworthy.wiring import open_plane


async def main(home):
    """Lead until standard input closes."""
    plane = open_plane(Settings(home=home, crash_at=from_environment().crash_at))
    patience = Patience(unknown_s=3.0, silent_s=20.0)
    control = Control(plane, lambda _now, _wall: 0, lambda _: Progress(), patience=patience)
    ended = asyncio.Event()
    running = asyncio.create_task(control.run(ended))
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    ended.set()
    await running
    plane.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
