"""Hosts: how a link's host is spelled in one way only, and which hosts an answer may lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

_DEFAULT_PORTS: Final = frozenset(("", "80", "443"))
_PLAIN: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z|\[[0-9a-f:.]+\]\Z")

# A bare name is a link only where a chat window makes one of it, by its ending. Endings that are also endings of files,
# attributes or words in code (`.py`, `.info`, `.io`, …) count only before a path or a port, or behind `www.`.
_STRONG = """
    com org net edu gov biz xyz eu de uk fr nl ch ru cn jp br se fi dk cz gr ua kr tw hk sg nz au mx za tk icu
"""
STRONG: Final = frozenset(_STRONG.split())
_WEAK = """
    io ai dev app info mil online site top shop club cloud tech store link click live page website space digital
    agency network systems host press vip buzz monster cyou sbs cfd quest bond lol wtf at no us ca me es pt tr
    ar cl ng ke il ir ga gq cf ml pw cc ws tv co pl it in is be id my name run zip mov sh rs py md so to am as
    by la li lu ly ma mk mo mu ms pm ps re sc st su vc vg vn ro rw hu hr lt lv ee ie sk si bg th ph pk sa ae qa
    bd np lk zone wiki blog news media video email games life world today solutions services company group team
    work works fun rest bar cafe art design studio photo pics download stream win bid loan racing review date
    trade party science faith accountant cricket men gdn foo day rip inc llc ltd tel pro mobi jobs asia cat int
    aero coop museum onion
"""
WEAK: Final = frozenset(_WEAK.split())


class Host(NamedTuple):
    """A host in its one spelling, and the port as written (empty when none was)."""

    name: str
    port: str = ""


def canonical(authority: str) -> Host | None:
    """Return the host of an authority (`host[:port]`), or None when readers could disagree about it.

    Users and passwords, backslashes, escapes, spaces and control characters are such; a name in other letters becomes
    its punycode, so that a look-alike is another host than the one it looks like.
    """
    text = authority.strip().lower().rstrip(".")
    if not text or any(letter in text for letter in "@\\%&<>\"' \t\r\n"):
        return None
    name, port = text, ""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", text)
    if match is None:
        return None
    name, port = match[1].rstrip("."), match[2] or ""
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return None
    return Host(name, port) if _PLAIN.match(name) else None


class AllowList:
    """The hosts links may lead to: `docs.example.com`, `*.example.com` (below it), `host:8443` (that port only)."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._exact: set[Host] = set()
        self._below: list[Host] = []
        for entry in entries:
            below = entry.strip().startswith("*.")
            host = canonical(entry.strip().removeprefix("*."))
            if host is None:
                continue
            if below:
                self._below.append(host)
            else:
                self._exact.add(host)

    def admits(self, authority: str) -> bool:
        """Tell whether a link to this authority may leave. What cannot be read in one way may not."""
        host = canonical(authority)
        if host is None:
            return False
        plain = Host(host.name, "" if host.port in _DEFAULT_PORTS else host.port)
        if plain in self._exact or host in self._exact:
            return True
        return any(host.name.endswith("." + below.name) and plain.port == below.port for below in self._below)


@lru_cache(maxsize=256)
def allow_list(entries: tuple[str, ...]) -> AllowList:
    """Return the compiled list; one a release, kept."""
    return AllowList(entries)
