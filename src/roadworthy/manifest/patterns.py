"""Regular expressions that files hand us, matched by RE2: its time is linear in the text, whatever the pattern."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LONGEST: Final = 1_000


def matches(pattern: str, text: str) -> bool:
    """Claim that a pattern is found somewhere in a text.

    Raises:
        ValueError: it is no pattern of RE2 (which has no look-around and no back-references).
    """
    import duckdb

    if len(pattern) > _LONGEST:
        raise ValueError(f"a pattern has at most {_LONGEST:,} characters")
    try:
        # A cursor of its own: the scorers of several threads share the connection.
        with _session().cursor() as session:
            found = session.execute("select regexp_matches(?, ?, 's')", [text, pattern]).fetchone()
    except duckdb.Error as error:
        raise ValueError(str(error).partition(": ")[2] or str(error)) from None
    return bool(found and found[0])


def problem_of(pattern: str) -> str:
    """Say what is wrong with a pattern; empty when it can be matched."""
    try:
        matches(pattern, "")
    except ValueError as error:
        return str(error)
    return ""


@cache
def _session() -> DuckDBPyConnection:
    # DuckDB has RE2 inside, and is loaded only where a suite has a pattern.
    import duckdb

    return duckdb.connect(":memory:", config={"autoinstall_known_extensions": False, "threads": 1})
