"""Who may call, how many at once, and how much a body may weigh."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Key, Scope, split_key
from roadworthy.domain.snapshot import ServedSystem
from roadworthy.domain.system import NonGoal
from roadworthy.ports.records import RecordLog
from roadworthy.serving.meter import Meter
from roadworthy.serving.problem import Problem

_CACHE: Final = 4096
_BEARER: Final = "Bearer "
_HOW: Final = "send 'Authorization: Bearer rw_…' or 'x-api-key: rw_…'; make a key with: roadworthy keys create"


class Gate:
    """How many requests of one system are inside; outlives swaps, so that a swap frees nobody's place."""

    __slots__ = ("inside", "shadows")

    def __init__(self) -> None:
        self.inside = 0
        self.shadows = 0


class Parts:
    """What the doors need besides the answerer; the worker's `main` picks them."""

    def __init__(
        self,
        *,
        log: RecordLog,
        now: Callable[[], Micros],
        read_counters: Callable[[], Mapping[str, int]],
        count_stranger: Callable[[], None],
    ) -> None:
        self.log = log
        self.now = now
        self.read_counters = read_counters
        self.count_stranger = count_stranger


class Guarded(Protocol):
    """A system that admits so many requests and forbids some uses, whatever its kind."""

    served: ServedSystem
    gate: Gate
    meter: Meter
    forbidden: Mapping[str, NonGoal]

    @property
    def name(self) -> str:
        """Return the system's name."""
        ...


class KeyRing:
    """The keys of one snapshot. What was verified once is remembered under the hash of its text, never the text."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.id: key for key in keys}
        self._verified: dict[bytes, Key] = {}
        self._rights: dict[tuple[str, Scope, str], bool] = {}

    def require(self, headers: Any, scope: Scope, system: str, now: Micros) -> Key:
        """Return the caller's key, if it carries the scope for the system (any of its systems when none is named).

        Raises:
            Problem: 401 no key, or a key that is unknown, expired or revoked; 403 the scope or system is missing.
        """
        key = self._recognise(headers, now)
        asked = (key.id, scope, system)
        allowed = self._rights.get(asked)
        if allowed is None:
            allowed = key.may(scope, system or (key.systems[0] if key.systems else ""))
            if len(self._rights) < _CACHE:
                self._rights[asked] = allowed
        if not allowed:
            where = f" for system '{system}'" if system and scope in key.scopes else ""
            raise Problem(403, "RW303", f"this key does not carry '{scope}'{where}", hint="ask an admin for a key")
        return key

    def _recognise(self, headers: Any, now: Micros) -> Key:
        text = key_text(headers)
        if not text:
            raise _refused("a key is needed")
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        key = self._verified.get(name)
        if key is None:
            key = self._verify(text, name, now)
        if key.expires_at is not None and now >= key.expires_at:
            raise _refused("this key has expired")
        return key

    def _verify(self, text: str, name: bytes, now: Micros) -> Key:
        parts = split_key(text)
        key = self._keys.get(parts[0]) if parts else None
        if parts is None or key is None or not key.admits(parts[1], now):
            raise _refused("this key is unknown, expired or revoked")
        if len(self._verified) >= _CACHE:
            self._verified.clear()
        self._verified[name] = key
        return key


def key_text(headers: Any) -> str:
    """Return the key a caller sent, from either header, or nothing."""
    text: str | None = headers.get("authorization")
    if text is None:
        return headers.get("x-api-key") or ""
    return text[len(_BEARER) :].strip() if text[: len(_BEARER)].lower() == "bearer " else ""


def _refused(message: str) -> Problem:
    return Problem(401, "RW303", message, hint=_HOW, headers=(("www-authenticate", "Bearer"),))


async def read_body(proto: Any, headers: Any, limit: int) -> bytes:
    """Read a body of at most `limit` bytes; a longer one is refused by its declared length, before it is read.

    Raises:
        Problem: 413 too large, 415 not JSON, 400 a length that is no number.
    """
    kind: str | None = headers.get("content-type")
    if kind is not None and kind != "application/json" and not _is_json(kind):
        raise Problem(415, "RW200", f"'{kind[:80]}' is not served here", hint="send content-type: application/json")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise Problem(415, "RW200", f"content-encoding '{encoding[:40]}' is not served here", hint="send plain JSON")
    declared = headers.get("content-length")
    if declared is not None:
        if not declared.isascii() or not declared.isdigit():
            raise Problem(400, "RW200", "content-length is not a number")
        if int(declared) > limit:
            raise too_large(limit)
        return await proto()
    parts = bytearray()
    async for part in proto:
        parts += part
        if len(parts) > limit:
            raise too_large(limit)
    return bytes(parts)


def too_large(limit: int, hint: str = "send fewer rows in one request") -> Problem:
    """Say that a body is larger than the system's limit."""
    return Problem(413, "RW200", f"the body is larger than {limit} bytes", hint=hint)


def _is_json(kind: str) -> bool:
    media, _, rest = kind.partition(";")
    charset = rest.strip().lower()
    return media.strip().lower() in ("application/json", "application/octet-stream") and charset in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    )
