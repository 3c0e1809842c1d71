"""Where in the tail of an unfinished text something sensitive may have begun."""

from __future__ import annotations

import re
from typing import Final

from roadworthy.guards.secret_formats import KEY_FOOT
from roadworthy.guards.spans import Span

_TAIL: Final = 64
"""A number in groups is at most this long; a row of numbers that goes on for longer is no one number."""
# Groups of digits, or of capitals and digits as in an IBAN, with what may stand between them.
_GROUPS: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:\+|[+(]{0,2}\d[\d().+/:-]*+|[A-Za-z]{2}\d\d[A-Za-z0-9]{0,4}+|[A-Za-z0-9]{1,4}+)"
    r"[ .()/\u00a0\u2011-]{1,3}+)+\S*\Z"
)
_KEY_HEAD: Final = re.compile(r"-----BEGIN[A-Z0-9 ]{0,56}(?:-{1,4}|-----(?:\s|\\[nr]|[\"'+,])*[\w+/=:,-]{0,16})?\Z")
_TOKEN: Final = re.compile(r"[^\s\"'`<>,;]*")


def word_from(text: str) -> int:
    """Return where the last word of a text begins; its length when it ends in a space."""
    at = len(text)
    while at and not text[at - 1].isspace():
        at -= 1
    return at


def sensitive_from(text: str) -> int:
    """Return from where on the text may still become a secret or a personal value."""
    least = word_from(text)
    start = max(0, len(text) - _TAIL)
    if least > start and _ends_in_group(text):
        match = _GROUPS.search(text, start)
        least = min(least, match.start()) if match else least
    if "-----" in text:
        match = _KEY_HEAD.search(text)
        least = min(least, match.start()) if match else least
    return least


def _ends_in_group(text: str) -> bool:
    """Tell cheaply whether a number may go on: most prose has no digit near its end."""
    return any(letter.isdigit() or letter == "+" for letter in text[-_TAIL:])


def swallowed(span: Span, text: str) -> tuple[int, bool]:
    """Tell how much of the text that follows an open secret still belongs to it, and whether more may come."""
    if span.rule == "key:private_key":
        foot = KEY_FOOT.search(text)
        return (foot.end(), False) if foot else (len(text), True)
    match = _TOKEN.match(text)
    size = match.end() if match else 0
    return size, size == len(text)
