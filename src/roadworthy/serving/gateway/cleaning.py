"""What may be kept or sent of a text: values of forbidden classes are masked, also in JSON that stands in a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

from roadworthy.guards.masking import CLASSES, Masked, mask, sensitive_spans
from roadworthy.guards.questions import rewritten
from roadworthy.guards.spans import counted, replaced

_PERSONAL: Final = CLASSES - {"key"}
_FOUND: Final[Mapping[str, frozenset[str]]] = {"secrets": frozenset({"key"}), "pii": _PERSONAL}
_BYTES: Final = re.compile(r"data:[\w.+/-]{1,100};base64,[A-Za-z0-9+/=]*")
_HOLDS_TEXT: Final = (str, list, dict)
_ESCAPE: Final = re.compile(r'\\[nrtbf"\\/]')


@cache
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


class Cleaner:
    """Masks the texts of one request; each text once, though it is sent, kept and looked up."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done: dict[tuple[str, frozenset[str]], Masked] = {}

    def clean(self, text: str, forbidden: frozenset[str]) -> Masked:
        """Mask what is forbidden in a text."""
        found = self._done.get((text, forbidden))
        if found is None:
            found = self._done[text, forbidden] = clean(text, forbidden)
        return found

    def request(
        self, body: Mapping[str, Any], forbidden: frozenset[str], known: Collection[str] = ()
    ) -> tuple[Mapping[str, Any], int]:
        """Return a request with every text of it masked, and how many values were; the same one where none was.

        Args:
            body: the request.
            forbidden: the classes that may not stay.
            known: texts that are known to hold nothing of any class.
        """
        found = 0

        def cleaned(text: str) -> str:
            nonlocal found
            if text in known:
                return text
            done = self.clean(text, forbidden)
            found += sum(done.counts.values())
            return done.text

        said = rewritten({"messages": body.get("messages")}, cleaned)
        rest = {name: value for name, value in body.items() if value.__class__ in _HOLDS_TEXT and name != "messages"}
        if rest:  # tools, schemas and stop words are written by the caller too
            rest = rewritten({"input": rest}, cleaned)["input"]
        return ({**body, **rest, **said}, found) if found else (body, 0)
