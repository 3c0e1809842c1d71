"""What may be kept or sent of a text: values of forbidden classes are masked, also in JSON that stands in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from roadworthy.guards.masking import CLASSES, Masked, mask, sensitive_spans
from roadworthy.guards.questions import rewritten
from roadworthy.guards.spans import counted, replaced

_PERSONAL: Final = CLASSES - {"key"}
_FOUND: Final[Mapping[str, frozenset[str]]] = {"secrets": frozenset({"key"}), "pii": _PERSONAL}
_BYTES: Final = re.compile(r"data:[\w.+/-]{1,100};base64,[A-Za-z0-9+/=]*")
_ESCAPE: Final = re.compile(r'\\[nrtbf"\\/]')


def classes_of(names: frozenset[str]) -> frozenset[str]:
    """Spell out the groups: `pii` is every personal class that rules can find, `secrets` keys and tokens."""
    found: set[str] = set()
    for name in names:
        found |= _FOUND.get(name, {name})
    return frozenset(found)


def clean(text: str, forbidden: frozenset[str]) -> Masked:
    """Mask what is forbidden in a text; the bytes of an image or a sound are no text and stay."""
    if text.startswith("data:") and _BYTES.fullmatch(text):
        return Masked(text, {})
    found = mask(text, forbidden)
    if "\\" not in found.text:
        return found
    # In a tool's arguments, which are JSON in a text, an escape stands before a value: `\nsk-…` is no word `nsk-…`.
    spans = sensitive_spans(_ESCAPE.sub("  ", found.text), forbidden)
    if not spans:
        return found
    return Masked(replaced(found.text, spans), {**counted(spans), **found.counts})


def clean_request(body: Mapping[str, Any], forbidden: frozenset[str]) -> tuple[Mapping[str, Any], int]:
    """Return a request with every text of it masked, and how many values were; the same request where none was."""
    found = 0

    def cleaned(text: str) -> str:
        nonlocal found
        done = clean(text, forbidden)
        found += sum(done.counts.values())
        return done.text

    said = rewritten({"messages": body.get("messages")}, cleaned)
    # Tools, schemas and stop words are written by the caller too.
    rest = rewritten({"input": {name: value for name, value in body.items() if name != "messages"}}, cleaned)
    return ({**rest["input"], **said}, found) if found else (body, 0)
