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

FOREIGN: Final = (
    "Who was the first emperor of Rome?",
    "How do I make a good pizza dough?",
    "Which river is the longest in Africa?",
    "What is a healthy resting heart rate?",
    "How do I get rid of moss in my lawn?",
    "When does the next ferry leave the island?",
    "Tell me a joke about cats.",
    "Translate thank you very much into Italian.",
    "Which team won the basketball final last year?",
    "How far away is the moon?",
    "Is it safe to swim after eating?",
    "What should I wear to a wedding in summer?",
    "How do I play the guitar chord of C minor?",
    "Which films did Alfred Hitchcock direct?",
    "How much does a new car cost in Norway?",
    "What are the symptoms of a cold?",
    "How do I learn to juggle three balls?",
    "Who invented the steam engine?",
    "What is the weather in Oslo tomorrow?",
    "How old do oak trees become?",
    "How do I fold a paper crane?",
    "Which wine goes with grilled fish?",
    "How many bones does a hand have?",
    "What is the plot of Hamlet?",
    "How do I clean a coffee machine?",
    "Why do birds fly south?",
    "How do I say no to a party politely?",
    "What is the population of Brazil?",
    "How do I teach a puppy to sit?",
    "Which planets have rings?",
    "How do I write a for loop in Java?",
    "What is a monad in Haskell?",
    "How do I sort a list in C#?",
    "Which laptop is best for students?",
    "How do I print on both sides of the paper?",
    "What does blockchain mean?",
    "How do I solder a wire to a circuit board?",
    "How does a microwave oven heat food?",
    "How do I pay less tax on shares?",
    "Who is the president of Chile?",
)
"""Questions that hardly any corpus answers: beside those whose file was hidden, they teach what outside means."""

_LEADS: Final = ("how do I", "what is", "why does", "can I", "which")
_EVERYDAY_TEXT: Final = (
    "somebody company machine weeks write change happens look need want work people called send part make take another "
    "person thing easy true possible way explain tell show reason best using without between keep set read find start "
    "number several kind able different allowed own first"
)
_RARER_TEXT: Final = (
    "actually afternoon again almost already although anyone apparently ask avoid away bad begin believe big boss "
    "bother break bring broken buy careful cheap choose clever colleague common complain concern confused correct "
    "customer decide delete department detail difficult disappear doubt early easily email enough evening everybody "
    "exactly expect extra fast favourite figure final finish fix forget forever friend future general guess handle "
    "hard help hide hope huge idea imagine important improve include inform instead judge kept know later leave "
    "lose maybe meeting message mind minute miss mistake money month morning nobody normal notice office old "
    "perhaps phone place prefer pretty prevent problem proper protect prove purpose question quickly quite receive "
    "recommend remember remove repair replace result right safe save secretly separate share simple situation solve "
    "sometimes soon special stay suddenly suppose sure team teach temporary thank tomorrow tonight trouble turn "
    "understand unusual useful usual wait watch week whole wonder worry wrong yesterday"
)
_RARER: Final = tuple(_RARER_TEXT.split())
_EVERYDAY: Final = tuple(_EVERYDAY_TEXT.split())
_LEAST_WORDS, _FEWEST, _KINDS, _MOST_EVERYDAY, _MOST_UNKNOWN, _MOST_FOREIGN = 3, 2, 4, 2, 1, 1
_LEAST_LETTERS: Final = 4


@dataclass(frozen=True, slots=True)
class PseudoQuestion:
    """A question that was made from a passage of the file `source`."""

    question: str
    source: str


def generate(passages: Sequence[Passage]) -> tuple[PseudoQuestion, ...]:
    """Return at most 400 questions, one a passage, spread over the corpus; the same passages give the same ones.

    Each is two to five neighbouring content words of one sentence, behind words that questions begin with. Mixed in are
    up to two everyday words, one that the corpus does not know and one of another passage: people do not ask in a
    document's own words. The mixture was chosen on this project's pages such that a threshold found with it holds for
    questions that people wrote. Its words are English; elsewhere give `build` questions of your own.
    """
    vocabulary = sorted({word for one in passages for word in words(plain(one.text)) if _is_content(word)})
    known = frozenset(vocabulary)
    count = min(len(passages), MOST)
    spread = (passages[at * len(passages) // count] for at in range(count))
    made = (_question(passage, vocabulary, known) for passage in spread)
    return tuple(one for one in made if one is not None)


def _question(passage: Passage, vocabulary: Sequence[str], known: frozenset[str]) -> PseudoQuestion | None:
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
    unknown = tuple(word for word in _RARER if word not in known)
    for turn in range(_draw(passage, "unknown", _MOST_UNKNOWN + 1) if unknown else 0):
        _mix(asked, unknown, passage, f"unknown{turn}")
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
