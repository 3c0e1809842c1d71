"""Child processes that end when whoever started them does."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int = 0) -> None:
    """Ask the kernel to end this process when its parent dies, so that no child serves unsupervised.

    `parent` is the process id of the one that started this: had it died before the kernel was asked, its signal would
    never come, and an orphan would hold the port for ever. That ends the process here.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent and os.getppid() != parent:
        raise SystemExit(f"process {parent}, which started this one, has ended")
