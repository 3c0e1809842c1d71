"""Whether a text is written in a language, told by its script and its commonest words; no model, a coarse answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from roadworthy.manifest.suites import LANGUAGES
from roadworthy.stats.text import words

_COMMON: Final[Mapping[str, frozenset[str]]] = {
    code: frozenset(text.split())
    for code, text in {
        "de": "der die das und ist nicht ein eine zu mit auf für von den dem sich auch es als werden wird sind kann",
        "en": "the and is of to in that it for on with as are this be was not can which from you by or an",
        "es": "el la los las y es de que en un una por con no se para como está son más del al su",
        "fr": "le la les et est de des que en un une pour dans ne pas qui sur avec ce il sont du au par",
        "it": "il lo la gli le e di che in un una per con non si è come sono del della alla più da",
        "nl": "de het een en is van dat in te niet op met voor zijn die er aan ook als door worden wordt",
        "pt": "o a os as e é de que em um uma por com não se para como são mais do da ao no na",
    }.items()
}
_SCRIPTS: Final[Mapping[str, re.Pattern[str]]] = {
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
}
assert {*_COMMON, *_SCRIPTS} == {*LANGUAGES}, "each language that a suite may name can be told"
_SHARE: Final = 0.3


def is_in(language: str, text: str) -> bool:
    """Claim that a text is in this language: by its script, or by having most of the common words of this one."""
    script = _SCRIPTS.get(language)
    letters = [letter for letter in text if letter.isalpha()]
    if script is not None:
        # Japanese has Chinese characters between its own: a share of them must do.
        own = len(script.findall(text))
        kana = len(_SCRIPTS["ja"].findall(text))
        return bool(letters) and own / len(letters) >= _SHARE and not (language == "zh" and kana)
    found = words(text)
    counts = {code: sum(word in common for word in found) for code, common in _COMMON.items()}
    most = max(counts.values())
    return most > 0 and counts.get(language, 0) == most
