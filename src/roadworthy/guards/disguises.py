r"""How a token can be written so that a person or a program reads it again, and what undoes each way.

A text is *folded*: letters and digits only, lower case, look-alikes as one letter. That alone undoes case, spaces,
hyphens, zero-width characters, line breaks and leetspeak. Reversing, ROT13, base64 and hexadecimal are looked for as
words of their own; every second or third letter, and escapes (`%41`, `&#65;`, `\x41`), as further views of the text.
"""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

# Digits and signs for letters, then letters of other scripts; `l` is `i` since `1` may stand for either.
_LOOKS: Final = str.maketrans(
    "013456789@$!|lz2\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u03bf\u03b1\u03b5\u03b9",
    "oieasgtbgasiiissaeopcyxisjoaei",
)
_ESCAPE: Final = re.compile(
    r"%([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{1,6});?|&#(\d{1,7});?|\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})"
)
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}|&#|\\[xu]")
_NO_LETTER: Final = re.compile(r"[\W_]+")
_CHUNK: Final = 4
_SHARE: Final = 0.75
_STRIDES: Final = (2, 3)


class View(NamedTuple):
    """A reading of a text: `places` says where each letter stands in it, `end` where the text ends."""

    text: str
    places: list[int]
    end: int


def folded(text: str) -> str:
    """Return the text's letters and digits, lower-cased, with those that look alike as one."""
    if text.isascii():
        return text.encode().translate(_ASCII_LOOKS, _ASCII_GONE).decode()
    return _folded(unicodedata.normalize("NFKC", text))


def _folded(text: str) -> str:
    return _NO_LETTER.sub("", text.lower().translate(_LOOKS))


# The same for ASCII, which most answers are, in a single pass.
_ASCII: Final = [chr(code) for code in range(128)]
_ASCII_GONE: Final = "".join(sign for sign in _ASCII if not _folded(sign)).encode()
_ASCII_LOOKS: Final = "".join(_folded(sign) or sign for sign in _ASCII).encode().ljust(256, b"\0")


def disguises(token: str) -> tuple[str, ...]:
    """Return the folded words by which a token is recognised; the first is the token itself."""
    data = token.encode()
    variants = [token, token[::-1], codecs.encode(token, "rot13"), codecs.encode(token[::-1], "rot13")]
    for text in {token, token.lower(), token.upper(), token[::-1]}:
        variants += [text.encode().hex(), base64.b32encode(text.encode()).decode().rstrip("=")]
        variants += _base64_words(text.encode())
    variants += [data.hex()[::-1], base64.b64encode(data).decode()[::-1].lstrip("=")]
    return tuple(dict.fromkeys(map(folded, variants)))


def _base64_words(data: bytes) -> list[str]:
    """Return base64 of the data as it looks within other data: at three offsets, without the letters they share."""
    words: list[str] = []
    for offset in range(3):
        word = base64.b64encode(b"\0" * offset + data).decode()
        first = (0, 2, 3)[offset]
        words.append(word[first : (offset + len(data)) * 8 // 6])
    return words


def is_escaped(text: str) -> bool:
    """Tell whether the text may hold escapes, in which a letter takes up to eight characters."""
    return "%" in text or "&" in text or "\\" in text


def whole_views(text: str) -> Iterator[str]:
    """Yield the folded readings of a whole answer, also of the first letters of its words and lines."""
    plain = folded(text)
    yield plain
    for stride in _STRIDES:
        for start in range(stride):
            yield plain[start::stride]
    if _ESCAPED.search(text):
        yield folded(_ESCAPE.sub(_decoded, text))
    for parts in (text.split(), text.splitlines()):
        yield folded("".join([part[:1] for part in parts]))


def views(text: str) -> Iterator[View]:
    """Yield the readings of a part of an answer: folded, every second and third letter of that, without escapes."""
    plain = _view(text)
    yield plain
    for stride in _STRIDES:
        for start in range(stride):
            yield View(plain.text[start::stride], plain.places[start::stride], len(text))
    if _ESCAPED.search(text):
        yield _unescaped(text)


def _view(text: str) -> View:
    if text.isascii():
        low = text.lower().translate(_LOOKS)
        places = [at for at, letter in enumerate(low) if letter.isalnum()]
        return View("".join([low[at] for at in places]), places, len(text))
    letters: list[str] = []
    places = list[int]()
    for at, letter in enumerate(text):
        for one in folded(letter):
            letters.append(one)
            places.append(at)
    return View("".join(letters), places, len(text))


def _unescaped(text: str) -> View:
    letters: list[str] = []
    places: list[int] = []
    at = 0
    while at < len(text):
        match = _ESCAPE.match(text, at)
        one = _decoded(match) if match else text[at]
        for letter in folded(one):
            letters.append(letter)
            places.append(at)
        at = match.end() if match else at + 1
    return View("".join(letters), places, len(text))


def _decoded(match: re.Match[str]) -> str:
    number = int(match[3]) if match[3] else int(match[1] or match[2] or match[4] or match[5], 16)
    return chr(number) if number <= 0x10FFFF else ""  # noqa: PLR2004 (the last code point)


def has_first_chunk(view: str, token: str) -> bool:
    """Tell whether the first part of a folded token is in a folded text."""
    return token[:_CHUNK] in view


def shares_chunks(view: str, token: str) -> bool:
    """Tell whether parts of a folded token follow one another in a folded text and make up most of it.

    Each part has at least four letters, and what stands between two may be anything: a line, a sentence.
    """
    if not has_first_chunk(view, token):
        return False
    at, done, parts = 0, 0, 0
    while done + _CHUNK <= len(token):
        found = view.find(token[done : done + _CHUNK], at)
        if found < 0:
            break
        size = _CHUNK
        while done + size < len(token) and view[found + size : found + size + 1] == token[done + size]:
            size += 1
        at, done, parts = found + size, done + size, parts + 1
    return parts > 1 and done >= _SHARE * len(token)
