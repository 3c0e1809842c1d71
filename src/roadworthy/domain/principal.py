"""Who acts: principals, keys and what a key may do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

from roadworthy.domain.moment import Micros


class PrincipalKind(StrEnum):
    """A principal is a person, a service or the automation itself."""

    PERSON = "person"
    SERVICE = "service"
    AUTOMATION = "automation"


class Assurance(StrEnum):
    """How sure we are of an actor: named on a local command line, or proven by a key or sign-in."""

    ASSERTED = "asserted"
    AUTHENTICATED = "authenticated"


class Scope(StrEnum):
    """What a key may do."""

    PREDICT = "predict"
    OUTCOME = "outcome"
    READ = "read"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person, service or automation. `contact` is where pages go; it lives in an erasable table."""

    id: str
    kind: PrincipalKind = PrincipalKind.PERSON
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A principal together with how it was recognised; the actor of an event."""

    principal: str
    assurance: Assurance = Assurance.ASSERTED


AUTOMATION = Actor(principal="roadworthy", assurance=Assurance.AUTHENTICATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key `rw_<id>_<secret>`; only the SHA-256 of the 256-bit secret is kept. No systems means all of them.

    `team` is whose budget the holder spends from.
    """

    id: str
    principal: str
    secret_sha256: str
    scopes: tuple[Scope, ...]
    systems: tuple[str, ...] = ()
    created_at: Micros = 0
    expires_at: Micros | None = None
    revoked: bool = False
    team: str = ""

    def admits(self, secret: str, now: Micros) -> bool:
        """Tell whether this secret opens the key at this moment, in constant time for the secret."""
        matches = hmac.compare_digest(hash_secret(secret), self.secret_sha256)
        return matches and not self.revoked and (self.expires_at is None or now < self.expires_at)

    def may(self, scope: Scope, system: str) -> bool:
        """Tell whether the key carries this scope for this system; `admin` carries every scope."""
        scoped = scope in self.scopes or Scope.ADMIN in self.scopes
        return scoped and (not self.systems or system in self.systems)


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret. The secret has 256 random bits, so a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


def spell_key(key_id: str, secret: str) -> str:
    """Write a key as its holder sends it."""
    return f"rw_{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Split `rw_<id>_<secret>` into id and secret, or return None for any other text."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "rw" or not parts[1] or not parts[2]:  # noqa: PLR2004 (three parts)
        return None
    return parts[1], parts[2]
