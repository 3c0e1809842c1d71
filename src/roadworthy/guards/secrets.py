"""Keys, tokens and passwords do not go to a provider, and no answer carries one."""

from __future__ import annotations

from roadworthy.guards.masking import KEY
from roadworthy.guards.sensitive import SensitiveGuard


class SecretsGuard(SensitiveGuard):
    """Masks or blocks what looks like an issuer's key, a private key, a password in a URL or in an assignment."""

    name = "secrets"
    needs = "no key, token or password passes"
    watched = frozenset((KEY,))
