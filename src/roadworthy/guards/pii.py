"""Personal data that a rule can tell: mail addresses, phones, IBANs, cards, social security and id numbers, IPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from roadworthy.guards.personal_formats import PERSONAL
from roadworthy.guards.sensitive import SensitiveGuard


class PiiGuard(SensitiveGuard):
    """Masks or blocks personal values whose class the system does not allow. Names are out of its reach."""

    name = "pii"
    needs = "no personal value of a class that is not allowed passes"
    defaults: ClassVar[Mapping[str, Any]] = {**SensitiveGuard.defaults, "classes": sorted(PERSONAL)}
    watched = frozenset(PERSONAL)
