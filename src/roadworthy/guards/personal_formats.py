"""What personal data look like where a rule can tell: a pattern, and a checksum or a numbering plan to confirm it.

Names, addresses, dates of birth and anything said in words are out of reach of rules.
Sources: ISO 13616 (IBAN), ISO/IEC 7812 (cards), ITU-T E.164 and the North American numbering plan (phones), the SSA's
rules for social security numbers, RFC 4291 (IPv6), and the check digits of the numbers under `id_number`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from roadworthy.guards.spans import Span

# A look-behind stands behind the first character, so that the engine can skip to where that character may stand.
_SEPARATORS = r" .()/\u00a0\u2011-"
_DIGITS: Final = re.compile(r"\D+")
_SEPARATED: Final = re.compile(rf"\d(?:[{_SEPARATORS}]{{0,3}}+\d){{6}}")
_AT: Final = re.compile(r"@|%40|&#64;")
_LOCAL: Final = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}\Z")
_DOMAIN: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,6}(?:[^\W\d_]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![\w-])"
)
_IBAN: Final = re.compile(
    r"\d\d(?<=[A-Za-z]{2}..)(?<![A-Za-z0-9]....)(?:[ \u00a0-]?[A-Za-z0-9]{4}){2,7}(?:[ \u00a0-]?[A-Za-z0-9]{1,4})?"
)
_CARD: Final = re.compile(r"\d(?<![\w.+-].)(?:[ \u00a0-]?\d){12,40}+(?![A-Za-z_])")
_CARD_DIGITS: Final = range(13, 20)
_SSN: Final = re.compile(r"\d(?<![\w.-].)\d\d([- ])(\d{2})\1(\d{4})(?![\w]|[.-]\d)")
_SSN_PLAIN: Final = re.compile(r"\d(?<![\w.].)\d{8}(?!\w)")
_SSN_SAID: Final = re.compile(r"(?i:ssn|social security)\D{0,24}\Z")
_DOTTED: Final = re.compile(r"\d\.\d{1,3}\.\d")
_IPV4: Final = re.compile(r"\d(?<![\w.].)\d{0,2}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6: Final = re.compile(
    r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f]{0,3}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])"
)
_VERSION: Final = re.compile(r"(?i:\bv|version|release|build|section|§|chapter|==|>=|<=|~=)[ :]*\Z")

_INTERNATIONAL: Final = re.compile(rf"(?:\+(?<![\w+].)|00(?<![\w+.,:-]..)(?=[1-9]))[ ]?\(?\d[\d{_SEPARATORS}]{{6,30}}")
_TRUNK_DIGITS: Final = range(9, 13)
_GROUP: Final = re.compile(r"\d+")
_PHONE_DIGITS: Final = range(8, 16)
_AMERICAN: Final = re.compile(
    r"[1-9(](?<![\w.+/-].)(?:(?<=1)[ .-]\(?)?[2-9]?\d\d(?:\) ?|[ .-])([2-9]\d\d)[ .-](\d{4})(?![\w]|[.-]\d)"
)
# A trunk 0, then groups; nine to eleven digits. Dots separate pairs only, as they do in France.
_TRUNK: Final = re.compile(
    r"[0(](?<![\w.+,/:-].)(?:(?<=\()0\d{1,4}\)[ /-]?\d|(?<=0)[1-9]\d{0,4}[ /-]\d)\d{1,7}(?:[ -]\d{2,5}){0,4}"
    r"(?![\w]|[.,:/-]\d)"
)
_PAIRS: Final = re.compile(r"0(?<![\w.+-].)[1-9](?:([ .-])\d\d)(?:\1\d\d){3}(?![\w]|[.-]\d)")
_SOLID: Final = re.compile(r"0(?<![\w.+/:-].)[1-9]\d{8,9}(?![\w]|[.-]\d)")
_CALL: Final = re.compile(r"(?i:phone|mobile|call|tel|fax|whatsapp|handy|mobil|telefon)\W{0,3}(?:\w+\W{1,3}){0,2}\Z")

_LENGTHS = """
    AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DJ:27
    DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22
    IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19
    MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 SC:31
    SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30
"""
IBAN_LENGTHS: Final[Mapping[str, int]] = {pair[:2]: int(pair[3:]) for pair in _LENGTHS.split()}


def keeps_luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812)."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    odd = sum(int(digit) for digit in digits[-1::-2])
    return (odd + sum(doubled[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def keeps_mod97(iban: str) -> bool:
    """Tell whether a bare IBAN has its country's length and leaves 1 when divided by 97 (ISO 13616)."""
    text = iban.upper()
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for match in _AT.finditer(text):
        local = _LOCAL.search(text, max(0, match.start() - 65), match.start())
        domain = _DOMAIN.match(text, match.end())
        if local and domain:
            yield local.start(), domain.end()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        start, end = match.start() - 2, match.end()
        # A word after the number may look like another group of it: take the country's own length.
        length = IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
        seen = 0
        for at in range(start, end):
            seen += text[at].isalnum()
            if seen == length:
                end = at + 1
                break
        if keeps_mod97("".join(filter(str.isalnum, text[start:end]))) and not text[end : end + 1].isalnum():
            yield start, end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        yield from _within(text, match, _CARD_DIGITS, _is_card)


def _within(text: str, match: re.Match[str], sizes: range, accept: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield runs of whole groups of digits that have such a size and are accepted: a number may have neighbours."""
    groups = [group.span() for group in _GROUP.finditer(text, *match.span())]
    first = 0
    while first < len(groups):
        digits, found = "", 0
        for last in range(first, len(groups)):
            digits += text[slice(*groups[last])]
            if len(digits) in sizes and accept(digits):
                found = last + 1
        if found:
            yield groups[first][0], groups[found - 1][1]
        first = found or first + 1


def _is_card(digits: str) -> bool:
    known = digits[0] in "3456" or "2221" <= digits[:4] <= "2720"
    return known and len(set(digits)) > 1 and keeps_luhn(digits)


def _ssns(text: str) -> Iterator[tuple[int, int]]:
    for match in _SSN.finditer(text):
        if _is_ssn(match[0][:3], match[2], match[3]):
            yield match.span()
    for match in _SSN_PLAIN.finditer(text):
        number = match[0]
        if _is_ssn(number[:3], number[3:5], number[5:]) and _SSN_SAID.search(
            text, max(0, match.start() - 40), match.start()
        ):
            yield match.span()


def _is_ssn(area: str, group: str, serial: str) -> bool:
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    patterns = (_IPV4,) if text.count(":") < 2 else (_IPV4, _IPV6)  # noqa: PLR2004
    for pattern in patterns:
        for match in pattern.finditer(text):
            start, end = match.span()
            if _identifies(text[start:end]) and not _VERSION.search(text, max(0, start - 16), start):
                yield start, end


def _identifies(text: str) -> bool:
    """Tell an address of somebody's machine from a loopback, a mask or a thing with colons."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6 and sum(bool(group) for group in text.split(":")) < 2:  # noqa: PLR2004
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or text.startswith("255."))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if "+" in text or "00" in text:
        for match in _INTERNATIONAL.finditer(text):
            yield from _international(text, match)
    for match in _AMERICAN.finditer(text):
        start = match.start() + (match[0][0] == "(" and ")" not in match[0])  # the bracket of a sentence
        if _is_american(match[0], match[1]):
            yield start, match.end()
    if "0" in text:
        yield from _with_trunk(text)


def _with_trunk(text: str) -> Iterator[tuple[int, int]]:
    for match in _TRUNK.finditer(text):
        yield from _national(text, match)
    for match in _PAIRS.finditer(text):
        yield match.span()
    for match in _SOLID.finditer(text):
        if _CALL.search(text, max(0, match.start() - 32), match.start()):
            yield match.span()


def _international(text: str, match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Take as many groups as one E.164 number has room for; the groups are one or two separators apart."""
    size, end, at = -2 if match[0][0] == "0" else 0, 0, match.start()
    for group in _GROUP.finditer(text, *match.span()):
        if end and (group.start() - end > 2 or "\n" in text[end : group.start()]):  # noqa: PLR2004
            break
        size += len(group[0])
        if size >= _PHONE_DIGITS.stop:
            break
        end = group.end()
        at = size
    if end and at in _PHONE_DIGITS and not text[end : end + 1].isalnum():
        yield match.start(), end


def _national(text: str, match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Take as many groups as one national number has, with its 0; another number may follow."""
    digits, end = 0, 0
    for group in _GROUP.finditer(text, *match.span()):
        digits += len(group[0])
        if digits in _TRUNK_DIGITS:
            end = group.end()
    if end:
        yield match.start(), end


def _is_american(number: str, exchange: str) -> bool:
    """Tell a number of the North American plan from other numbers: area 2-9, and no exchange such as 411."""
    digits = _DIGITS.sub("", number).removeprefix("1")
    if len(digits) != 10 or ("(" not in number and ")" in number):  # noqa: PLR2004 (area, exchange, line)
        return False
    return digits[0] in "23456789" and not exchange.endswith("11")


_CPF: Final = re.compile(r"\d(?<![\w.].)\d\d\.\d{3}\.\d{3}-\d{2}(?!\d)")
_DNI: Final = re.compile(r"[XYZ\d](?<![\w.-].)-?\d{6,8}-?[A-HJ-NP-TV-Z](?!\w)")
_FISCALE: Final = re.compile(r"[A-Z](?<!\w.)[A-Z]{5}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)")
_PASSPORT: Final = re.compile(
    r"\d(?<=(?<![\w<])[A-Z0-9<]{9}\d)[A-Z<]{3}(\d{6})(\d)[MFX<](\d{6})(\d)[A-Z0-9<]{14}[\d<]\d(?!\w)"
)
_FOREIGNER: Final = str.maketrans("XYZ", "012")
_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def _keeps_cpf(digits: str) -> bool:
    for size in (9, 10):
        total = sum(int(digit) * weight for digit, weight in zip(digits[:size], range(size + 1, 1, -1), strict=True))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return len(set(digits)) > 1


def _keeps_fiscale(text: str) -> bool:
    odd = sum(_ODD[int(letter, 36) - (0 if letter.isdigit() else 10)] for letter in text[:15:2])
    even = sum(int(letter) if letter.isdigit() else ord(letter) - 65 for letter in text[1:15:2])
    return chr(65 + (odd + even) % 26) == text[15]


def _keeps_icao(field: str, digit: str) -> bool:
    """Check one field of a passport's machine-readable zone (ICAO 9303: weights 7, 3, 1)."""
    weights = (7, 3, 1)
    values = (0 if letter == "<" else int(letter, 36) for letter in field)
    return sum(value * weights[place % 3] for place, value in enumerate(values)) % 10 == int(digit)


def _id_numbers(text: str) -> Iterator[tuple[int, int]]:
    for match in _FISCALE.finditer(text):
        if _keeps_fiscale(match[0]):
            yield match.span()
    if _SEPARATED.search(text):
        yield from _numbered_ids(text)


def _numbered_ids(text: str) -> Iterator[tuple[int, int]]:
    for match in _CPF.finditer(text):
        if _keeps_cpf(_DIGITS.sub("", match[0])):
            yield match.span()
    for match in _DNI.finditer(text):
        digits = _DIGITS.sub("", match[0][:-1].translate(_FOREIGNER))
        if len(digits) == 8 and "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == match[0][-1]:  # noqa: PLR2004
            yield match.span()
    for match in _PASSPORT.finditer(text):
        start = match.start() - 9
        fields = ((text[start : start + 9], match[0][0]), (match[1], match[2]), (match[3], match[4]))
        if all(_keeps_icao(field, digit) for field, digit in fields):
            yield start, match.end()


PERSONAL: Final[Mapping[str, Callable[[str], Iterator[tuple[int, int]]]]] = {
    "email": _emails,
    "phone": _phones,
    "iban": _ibans,
    "card": _cards,
    "ssn": _ssns,
    "ip": _addresses,
    "id_number": _id_numbers,
}
"""The data classes that rules can tell, each with what finds it."""

_NUMBERED: Final = frozenset(("phone", "iban", "card", "ssn"))


def personal_spans(text: str, classes: frozenset[str]) -> Iterator[Span]:
    """Yield where values of these classes stand in a text, each once a class that claims it."""
    numbered = bool(classes & _NUMBERED) and _SEPARATED.search(text) is not None
    for name, find in PERSONAL.items():
        if name not in classes or (name in _NUMBERED and not numbered) or (name == "ip" and not _has_address(text)):
            continue
        for start, end in find(text):
            yield Span(start, end, name, f"[{name}]")


def _has_address(text: str) -> bool:
    return _DOTTED.search(text) is not None or (":" in text and ("::" in text or text.count(":") > 6))  # noqa: PLR2004
