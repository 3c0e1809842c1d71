"""Sign-in sessions: a signed cookie that names a key, and the token that every form must carry.

Nothing is stored: the cookie is signed with the home's secret, and each request looks the key up again, so a revoked
or expired key, or a holder who left, ends every session made with it at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from roadworthy.domain.moment import HOUR, MINUTE, Micros

COOKIE: Final = "rw_session"
FIRST_COOKIE: Final = "rw_visit"
IDLE: Final[Micros] = HOUR
LONGEST: Final[Micros] = 12 * HOUR
RENEW_AFTER: Final[Micros] = 5 * MINUTE
_PARTS: Final = 4
_MOST_ENDED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in browser. `began` and `renewed` are wall time in µs; `nonce` ties forms to this session."""

    key: str
    began: Micros
    renewed: Micros
    nonce: str


class Sessions:
    """Writes and reads session cookies and form tokens. Thread-safe."""

    def __init__(self, secret: bytes) -> None:
        # The home's secret keys other digests too, so sessions are signed with a key of their own.
        self._secret = hmac.digest(secret, b"roadworthy console sessions v1", "sha256")
        self._ended: dict[str, Micros] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, now: Micros) -> Session:
        """Begin a session for a key that was just proven."""
        return Session(key=key, began=now, renewed=now, nonce=secrets.token_hex(16))

    def write(self, session: Session) -> str:
        """Return the cookie's value."""
        body = f"{session.key}.{session.began}.{session.renewed}.{session.nonce}"
        return f"{body}.{self._sign('session', body)}"

    def read(self, cookie: str, now: Micros) -> Session | None:
        """Return the session of a cookie, or None if it was not signed here, is too old or was ended."""
        body, _, signature = cookie.rpartition(".")
        if not body.isascii() or not hmac.compare_digest(self._sign("session", body), _ascii(signature)):
            return None
        parts = body.split(".")
        if len(parts) != _PARTS:
            return None
        session = Session(key=parts[0], began=int(parts[1]), renewed=int(parts[2]), nonce=parts[3])
        is_old = now - session.renewed > IDLE or now - session.began > LONGEST
        with self._lock:
            return None if is_old or session.nonce in self._ended else session

    def renew(self, session: Session, now: Micros) -> Session | None:
        """Return the session with a later end when it is worth a new cookie, else None."""
        if now - session.renewed < RENEW_AFTER:
            return None
        return Session(key=session.key, began=session.began, renewed=now, nonce=session.nonce)

    def end(self, session: Session, now: Micros) -> None:
        """Let no cookie of this session count again in this process."""
        with self._lock:
            self._ended = {nonce: at for nonce, at in self._ended.items() if now - at <= LONGEST}
            if len(self._ended) < _MOST_ENDED:
                self._ended[session.nonce] = now

    def token(self, nonce: str) -> str:
        """Return the token that forms of this session (or first visit) carry."""
        return self._sign("form", nonce)

    def is_token(self, nonce: str, token: str) -> bool:
        """Tell whether a form's token is the one it was given."""
        return bool(nonce) and hmac.compare_digest(self.token(nonce), _ascii(token))

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}\x00{text}".encode(), hashlib.sha256).hexdigest()


class SignInLimit:
    """Slows guessing: so many failures at once per address, then one more every few seconds."""

    def __init__(self, *, burst: int = 5, refill_s: float = 10.0, most_addresses: int = 1_000) -> None:
        self._burst = float(burst)
        self._refill_s = refill_s
        self._most = most_addresses
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, address: str, at_s: float) -> float:
        """Return how many seconds this address must wait before it may try again; 0 is now."""
        with self._lock:
            left = self._tries(address, at_s)
        return 0.0 if left >= 1.0 else (1.0 - left) * self._refill_s

    def failed(self, address: str, at_s: float) -> None:
        """Count a failed sign-in. `at_s` is a monotonic time in seconds."""
        with self._lock:
            left = self._tries(address, at_s) - 1.0
            if address not in self._left and len(self._left) >= self._most:
                # The address that tried longest ago goes first: it has most likely its tries back.
                del self._left[min(self._left, key=lambda known: self._left[known][1])]
            self._left[address] = (max(0.0, left), at_s)

    def _tries(self, address: str, at_s: float) -> float:
        left, since = self._left.get(address, (self._burst, at_s))
        return min(self._burst, left + (at_s - since) / self._refill_s)


def _ascii(text: str) -> str:
    """Keep `compare_digest` from raising on text that is no ASCII; such text matches nothing."""
    return text if text.isascii() else ""
