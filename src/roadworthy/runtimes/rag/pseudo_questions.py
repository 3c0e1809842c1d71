"""Questions made from the corpus itself, to calibrate by where nobody has written any down yet."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from roadworthy.runtimes.rag.chunk import Passage
from roadworthy.runtimes.rag.words import STOP_WORDS, plain, sentences, words

MOST: Final = 400
"""Questions beyond these would make the build longer and the rates hardly sharper."""

_LEADS: Final = ("how do I", "what is", "why does", "can I", "which")
_EVERYDAY_TEXT: Final = (
    "somebody company machine weeks write change happens look need want work people called send part make take another "
    "person thing easy true possible way explain tell show reason best using without between keep set read find start "
    "number several kind able different allowed own first"
)
_EVERYDAY: Final = tuple(_EVERYDAY_TEXT.split())
_LEAST_WORDS, _FEWEST, _KINDS, _MOST_EVERYDAY, _MOST_FOREIGN = 3, 2, 4, 2, 1
_LEAST_LETTERS: Final = 4


@dataclass(frozen=True, slots=True)
class PseudoQuestion:
    """A question that was made from a passage of the file `source`."""

    question: str
    source: str


def generate(passages: Sequence[Passage]) -> tuple[PseudoQuestion, ...]:
    """Return at most 400 questions, one a passage, spread over the corpus; the same passages give the same ones.

    Each is two to five neighbouring content words of one sentence, behind words that questions begin with, with up to
    two everyday words and one of another passage mixed in: people do not ask in a document's own words. The mixture was
    chosen on this project's pages such that a threshold found with it holds for questions that people wrote.
    """
    vocabulary = sorted({word for one in passages for word in words(plain(one.text)) if _is_content(word)})
    count = min(len(passages), MOST)
    spread = (passages[at * len(passages) // count] for at in range(count))
    made = (_question(passage, vocabulary) for passage in spread)
    return tuple(one for one in made if one is not None)


def _question(passage: Passage, vocabulary: Sequence[str]) -> PseudoQuestion | None:
    told = [one for one in (words(text) for text in sentences(passage.text)) if _contents(one) >= _LEAST_WORDS]
    if not told:
        return None
    sentence = told[_draw(passage, "sentence", len(told))]
    places = [at for at, word in enumerate(sentence) if word not in STOP_WORDS]
    count = _FEWEST + _draw(passage, "count", _KINDS)
    first = _draw(passage, "first", max(1, len(places) - count + 1))
    span = places[first : first + count]
    asked = sentence[span[0] : span[-1] + 1]
    for turn in range(_draw(passage, "everyday", _MOST_EVERYDAY + 1)):
        _mix(asked, _EVERYDAY, passage, f"everyday{turn}")
    if vocabulary and _draw(passage, "foreign", _MOST_FOREIGN + 1):
        _mix(asked, vocabulary, passage, "foreign word")
    lead = _LEADS[_draw(passage, "lead", len(_LEADS))]
    return PseudoQuestion(f"{lead} {' '.join(asked)}?", passage.source)


def _mix(asked: list[str], among: Sequence[str], passage: Passage, name: str) -> None:
    asked.insert(_draw(passage, f"place of {name}", len(asked) + 1), among[_draw(passage, name, len(among))])


def _draw(passage: Passage, name: str, below: int) -> int:
    """Return a number that looks drawn but only depends on the passage's id and what it is for."""
    return zlib.crc32(f"{passage.id} {name}".encode()) % below


def _contents(sentence: Sequence[str]) -> int:
    return sum(word not in STOP_WORDS for word in sentence)


def _is_content(word: str) -> bool:
    return len(word) >= _LEAST_LETTERS and word not in STOP_WORDS
