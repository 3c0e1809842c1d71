"""How long a model needs for a row, and so how many rows it can be asked while people wait.

A build asks the prototype for the reference and for the hold-out; gates ask again. A model that needs a tenth of a
second a row would keep both busy for hours, only to be refused for its latency in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from roadworthy.ports.runtime import Columns
from roadworthy.runtimes.columns import count_rows, take

PATIENCE_S: Final = 8.0
FEWEST_ROWS: Final = 50
_BATCHES: Final = (1, 4, 20, 200, 2_000)
_LONGEST_S: Final = 4.0
_BEYOND_DOUBT_S: Final = 8.0
_DOUBTFUL: Final = 20
_TRIES: Final = 4
_STEPS: Final = (5, 2, 1)


def pace_of(predict: Callable[[Columns], Any], columns: Columns, patience_s: float = PATIENCE_S) -> float:
    """Measure seconds a row on growing batches, since a call has a cost of its own that many rows share.

    It ends as soon as all of the rows are seen to fit into the patience, or the next batch would take over four
    seconds, by what the last rows added: a slow model is asked a few hundred rows at most. A small batch is asked up to
    three times more before that, for eight seconds at most: it may have been the machine that was slow.

    Raises:
        whatever the model raises.
    """
    everything = count_rows(columns)
    predict(take(columns, slice(0, 1)))  # the first call sets up what is set up lazily
    before, last, pace = 0, 0.0, 0.0
    for size, following in zip(_BATCHES, (*_BATCHES[1:], 0), strict=True):
        batch = take(columns, slice(0, min(size, everything)))
        n = count_rows(batch)
        tries = [_timed(predict, batch)]
        while n <= _DOUBTFUL and _is_too_slow(min(tries), last, n - before, following - n):
            if len(tries) == _TRIES or sum(tries) >= _BEYOND_DOUBT_S:
                break
            tries.append(_timed(predict, batch))
        took = min(tries)
        pace = took / max(1, n)
        if affordable(pace, patience_s) >= everything or n == everything:
            break
        if _is_too_slow(took, last, n - before, following - n):
            break
        before, last = n, took
    return pace


def _is_too_slow(took: float, last: float, rows: int, more: int) -> bool:
    """Tell whether a batch took too long, or the next one would, by what these rows added to the batch before."""
    if took > _LONGEST_S:
        return True
    return bool(last) and took + max(0.0, took - last) / max(1, rows) * more > _LONGEST_S


def _timed(predict: Callable[[Columns], Any], batch: Columns) -> float:
    started = time.perf_counter()
    predict(batch)
    return time.perf_counter() - started


def affordable(pace: float, patience_s: float = PATIENCE_S) -> int:
    """Return how many rows fit into the patience, at least fifty, which is the fewest that tell anything.

    Rounded down to 1, 2 or 5 times a power of ten, so that a machine a little faster or busier asks the same rows.
    """
    most = int(patience_s / pace) if pace > patience_s / 10**9 else 10**9
    power = 10 ** (len(str(most)) - 1)
    return max(FEWEST_ROWS, next((step * power for step in _STEPS if step * power <= most), 0))
