"""The exact cache: the same answer to the same question of the same caller, by the same release. One a worker."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

MOST_BYTES: Final = 64 << 20
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


class Cached(NamedTuple):
    """An answer worth giving again: its text, why it ended, and what it had cost."""

    text: str
    finish: str
    release: str
    model: str
    until: float


class ExactCache:
    """Answers by keyed digests of what was asked: no question is kept, and no other caller's answer is found.

    The digest covers the release, the tenant (system, environment, team or principal), the data classes stated, and the
    request's messages and options. A release changes, so does every digest: a stale answer cannot be found.
    """

    def __init__(self, secret: bytes, most_bytes: int = MOST_BYTES) -> None:
        self._secret = secret
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[bytes, Cached] = OrderedDict()

    def name(self, release: str, tenant: tuple[str, ...], request: Mapping[str, Any]) -> bytes:
        """Name a request by 32 bytes that only this home can make."""
        text = _ENCODE((release, tenant, request))
        return hmac.digest(self._secret, text, "sha256")

    def get(self, name: bytes, now: float) -> Cached | None:
        """Return an answer that is not too old.

        Args:
            name: what was asked.
            now: seconds of the monotonic clock.
        """
        found = self._kept.get(name)
        if found is None:
            return None
        if found.until <= now:
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return found

    def put(self, name: bytes, answer: Cached) -> None:
        """Keep an answer; the longest unused ones make room."""
        self._drop(name)
        self._kept[name] = answer
        self._size += _weight(answer)
        while self._size > self._most and self._kept:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._size = 0

    def _drop(self, name: bytes) -> None:
        gone = self._kept.pop(name, None)
        if gone is not None:
            self._size -= _weight(gone)


def _weight(answer: Cached) -> int:
    return 200 + 4 * len(answer.text)
