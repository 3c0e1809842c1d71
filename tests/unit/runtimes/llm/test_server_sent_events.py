"""Events come out whole, however the network cut them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.runtimes.llm.sse import MAX_EVENT_BYTES, EventReader, EventTooLong

STREAM = b': hello\n\ndata: {"a": 1}\n\nevent: ping\ndata: x\ndata:y\n\nid: 3\n\ndata: [DONE]\n\n'
EVENTS = [("", b'{"a": 1}'), ("ping", b"x\ny"), ("", b"[DONE]")]


@given(st.lists(st.integers(0, len(STREAM) + 8), max_size=12), st.booleans())
def test_any_cut_of_a_stream_gives_the_same_events(cuts: list[int], is_crlf: bool) -> None:
    """Where a piece ends says nothing about where an event does, with either kind of line end."""
    stream = STREAM.replace(b"\n", b"\r\n") if is_crlf else STREAM
    edges = [0, *sorted(cuts), len(stream)]
    reader = EventReader()
    found = [event for start, end in pairwise(edges) for event in reader.feed(stream[start:end])]
    assert found == EVENTS


def test_an_event_without_an_end_is_refused() -> None:
    """A server cannot fill the memory with one event."""
    with pytest.raises(EventTooLong):
        EventReader().feed(b"data: " + b"x" * MAX_EVENT_BYTES)
