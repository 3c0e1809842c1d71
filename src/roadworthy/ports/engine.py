"""Where heavy work runs."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from roadworthy.ports.runtime import Columns, Outputs


class Engine(Protocol):
    """Maps batches of columns; embedded in this process, or on Ray or Spark."""

    def map_batches(
        self, source: Iterable[Columns], factory: Callable[[], Callable[[Columns], Outputs]], workers: int
    ) -> Iterator[Outputs]:
        """Answer each batch in order; `factory` builds the function once per worker."""
        ...
