"""Server-sent events as they come off the wire, in whatever pieces the network cut them."""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 1 << 20
_DATA: Final = b"data: "


class EventTooLong(ValueError):
    """A server sent more than `MAX_EVENT_BYTES` without ending its event."""


class EventReader:
    """Cuts a byte stream into events. Feed it what was read; it gives what is complete.

    Source: WHATWG HTML, "Server-sent events", parsing an event stream; ids and retry times mean nothing to us.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        r"""Return the events that are complete now, as (event name, data). Lines of data are joined by `\n`.

        Raises:
            EventTooLong: no event ends where one should have.
        """
        text = self._rest + piece if self._rest else piece
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *blocks, self._rest = text.split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        events: list[tuple[str, bytes]] = []
        for block in blocks:
            if block.startswith(_DATA) and b"\n" not in block:
                events.append(("", block[6:]))
            elif (event := _event(block)) is not None:
                events.append(event)
        return events


def _event(block: bytes) -> tuple[str, bytes] | None:
    name = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", errors="replace")
    return (name, b"\n".join(data)) if data else None
