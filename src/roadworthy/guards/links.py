"""Where an answer leads: every link in a text, in the spellings that a browser or a chat window follows."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from roadworthy.guards.hosts import STRONG, WEAK

_STOP: Final = r"\s<>\"'`|{}\^"
# `https:evil.com` and `https:\evil.com` lead where `https://evil.com` leads; other schemes need their slashes.
_SCHEMES: Final = (":/", ":\\", "http:", "https:", "ws:", "wss:", "ftp:", "ftps:")
_ACTIVE_SCHEMES: Final = ("data:", "script:", "file:", "blob:")
_URL: Final = re.compile(
    rf"(?<![A-Za-z0-9+.-])(?:(?i:https?|wss?|ftps?):[/\\]*|[A-Za-z][A-Za-z0-9+.-]{{0,30}}:[/\\]{{2,}})(?P<rest>[^{_STOP}]+)"
)
_RELATIVE: Final = re.compile(
    rf"(?<![\w:/\\.])[/\\]{{2,}}(?P<rest>(?:[^{_STOP}/\\?#:]+\.[^{_STOP}/\\?#:.]{{2,}}|\[[0-9a-fA-F:.]+\])[^{_STOP}]*)"
)
_ACTIVE: Final = re.compile(
    r"(?<![\w-])(?i:data:[\w.+-]*/?[\w.+-]*(?:;[\w=.+-]+)*,|javascript:|vbscript:|file:[/\\]+|blob:)[^\s<>\"'`]+"
)
_MAIL: Final = re.compile(rf"(?<![\w-])(?i:mailto:)[^{_STOP}@]*@(?P<rest>[^{_STOP}]+)")
_BARE: Final = re.compile(
    r"(?P<host>[^\W_](?<![\w@./\\:%+-].)(?:[\w-]{0,61}[^\W_])?\.(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){0,7}(?P<ending>[^\W\d_]{2,24}|xn--[A-Za-z0-9-]{2,59}))\.?"
    rf"(?P<port>:\d{{1,5}})?(?P<path>[/?#][^{_STOP}]*)?(?![\w@(-])"
)
_ADDRESS: Final = re.compile(
    rf"(?P<host>\d(?<![\w@./\\:%+-].)\d{{0,2}}\.(?:\d{{1,3}}\.){{2}}\d{{1,3}})(?P<port>:\d{{1,5}})?(?P<path>/(?!\d{{1,2}}(?!\w))[^{_STOP}]+)"
)
_AUTHORITY: Final = re.compile(r"[/\\]*([^/\\?#]*)(\\?)")
_TRAILING: Final = ".,;:!?*_~"
_PAIRS: Final = {")": "(", "]": "["}
_HIDDEN: Final = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_DOTS: Final = str.maketrans(
    "\u3002\uff0e\uff61\u2024\ufe52\u2044\u2215\u29f8\uff0f\u2236\ua789\uff1a", "....." + "////:::"
)
_ODD: Final = re.compile(r"[^\x00-\x7f]|%[0-9A-Fa-f]{2}|&[#A-Za-z]|\\[xu/\\][0-9A-Fa-f]?")
_CODE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})")
_TAG: Final = re.compile(r"<[A-Za-z!/?][^<>]{0,4000}>?")


class Link(NamedTuple):
    """A link in a text. `authority` is its `host[:port]` as written; `kind` says how it was spelled."""

    start: int
    end: int
    authority: str
    kind: str


def plain_links(text: str, *, bare: bool) -> Iterator[Link]:
    """Yield the links that stand in the text as they are."""
    # A colon is in most texts, what follows it in a link is not.
    low = text.lower() if ":" in text else ""
    if any(sign in low for sign in _SCHEMES):
        yield from _each(_URL, text, "url")
    if any(sign in low for sign in _ACTIVE_SCHEMES):
        yield from _each(_ACTIVE, text, "active")
    if "mailto:" in low:
        yield from _each(_MAIL, text, "mail")
    if "//" in text or "\\" in text:
        yield from _each(_RELATIVE, text, "url")
    if bare and "." in text:
        yield from _bare(text)


def _each(pattern: re.Pattern[str], text: str, kind: str) -> Iterator[Link]:
    """Yield the links of one pattern; the next is looked for where the last one really ended."""
    match = pattern.search(text)
    while match:
        end = _trimmed(match[0], match.start())
        authority = "" if kind == "active" else _authority(match["rest"][: max(0, end - match.start("rest"))])
        yield Link(match.start(), end, authority, kind)
        match = pattern.search(text, max(end, match.start() + 1))


def _bare(text: str) -> Iterator[Link]:
    for match in _BARE.finditer(text):
        ending = match["ending"].lower()
        strong = ending in STRONG or not ending.isascii() or ending.startswith("xn--")
        path = (match["path"] or "").startswith("/")
        marked = path or match["port"] is not None or match["host"].lower().startswith("www.")
        if (strong and _is_spelled_as_host(match["host"])) or (marked and (strong or ending in WEAK)):
            yield Link(match.start(), _trimmed(match[0], match.start()), match["host"] + (match["port"] or ""), "bare")
    for match in _ADDRESS.finditer(text):
        yield Link(match.start(), _trimmed(match[0], match.start()), match["host"] + (match["port"] or ""), "bare")


def _is_spelled_as_host(name: str) -> bool:
    """Tell `example.com` from `ASP.NET` or a sentence that goes on.Without a space."""
    labels = name.split(".")
    return not labels[-1][0].isupper() or (name.isupper() and labels[-1] in ("COM", "ORG"))


def _authority(rest: str) -> str:
    found = _AUTHORITY.match(rest)
    # A backslash ends the host for a browser and not for other readers: that is for nobody to guess.
    return rest if found is None or found[2] else found[1].removesuffix(":")


def _trimmed(link: str, start: int) -> int:
    """Return where a link ends without the sentence's punctuation and the brackets that it did not open."""
    size = len(link)
    while size:
        last = link[size - 1]
        if last in _TRAILING or (last in _PAIRS and link.count(last, 0, size) > link.count(_PAIRS[last], 0, size)):
            size -= 1
        else:
            break
    # `](` within ends a Markdown text that looks like a link; a `)` that closes one, likewise.
    depth = 0
    for at, letter in enumerate(link[:size]):
        depth += (letter == "(") - (letter == ")")
        if depth < 0 or link.startswith("](", at):
            return start + at
    return start + size


def disguised_words(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield words and tags that read differently once escapes and invisible characters are undone.

    Each is start, end and the reading. Tags are read as a browser reads them: line breaks in an attribute are nothing.
    """
    if "<" in text:
        for match in _TAG.finditer(text):
            read = undisguised(match[0].replace("\n", "").replace("\r", "").replace("\t", ""))
            if read != match[0]:
                yield match.start(), match.end(), read
    if _ODD.search(text):
        for match in re.finditer(r"\S+", text):
            if _ODD.search(match[0]):
                read = undisguised(match[0])
                if read != match[0]:
                    yield match.start(), match.end(), read


def undisguised(text: str) -> str:
    """Return a text as it reads when escapes (twice), invisible characters and wide letters are undone."""
    for _ in range(2):
        text = unquote(html.unescape(text))
        text = _CODE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    return unicodedata.normalize("NFKC", _HIDDEN.sub("", text).translate(_DOTS)).translate(_DOTS)
