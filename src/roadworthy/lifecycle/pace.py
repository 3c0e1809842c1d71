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
_ENOUGH_S: Final = 0.5
_HOPELESS_S: Final = 4.0
_FEW: Final = 1
_DOUBTFUL: Final = 20
_BEYOND_DOUBT_S: Final = 8.0
_STEPS: Final = (5, 2, 1)


def pace_of(predict: Callable[[Columns], Any], columns: Columns, patience_s: float = PATIENCE_S) -> float:
    """Measure seconds a row on growing batches, since a call has a cost of its own that many rows share.

    It ends as soon as all of the rows are seen to fit into the patience, or a batch took half a second (a single
    row: four seconds, as much of that may be the call's own cost): a slow model is asked a few hundred rows at most.
    A small batch is asked once more before that: it may have been the machine that was slow.

    Raises:
        whatever the model raises.
    """
    everything = count_rows(columns)
    predict(take(columns, slice(0, 1)))  # the first call sets up what is set up lazily
    pace = 0.0
    for size in _BATCHES:
        batch = take(columns, slice(0, min(size, everything)))
        n, most = count_rows(batch), _ENOUGH_S if size > _FEW else _HOPELESS_S
        took = _timed(predict, batch)
        if n <= _DOUBTFUL and most < took < _BEYOND_DOUBT_S:
            took = min(took, _timed(predict, batch))
        pace = took / max(1, n)
        enough = took > most
        if enough or pace * everything < patience_s or n == everything:
            break
    return pace


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
