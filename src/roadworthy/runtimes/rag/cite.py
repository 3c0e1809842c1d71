"""Whether an answer rests on passages: citations that exist, sentences that are supported, and the plain extract.

Citations are `[1]` for the first passage that was handed to the model, `[2]` for the second, or a passage's id;
`[1, 3]` names two. Brackets in code are none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from roadworthy.runtimes.rag.index import Embeds, Hit
from roadworthy.runtimes.rag.words import sentences, stem, terms, words

LEAST_OVERLAP: Final = 0.6
LEAST_COSINE: Final = 0.75
"""From which share of a sentence's terms, or nearness in meaning to one of the passage's, a passage supports it."""

_MARK: Final = re.compile(r"[\[【]([^\[\]【】]{1,300})[\]】]")
_PLACE: Final = re.compile(r"\^?\d{1,3}")
_CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_UNBRACKETED: Final = str.maketrans("[]【】", "()()")
_GAP: Final = re.compile(" (?=[.,;:!?])")
_LEADING: Final = re.compile(r"^(?:[\[【][^\[\]【】]{1,300}[\]】]\s*)+[.,;]?\s*")
_LEAST_TERMS: Final = 2
_EXTRACTED: Final = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer that says something, without its marks; `cited` are the passages it names rightly."""

    text: str
    cited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Citations:
    """What an answer cites: passages that exist, marks that name none, and claims that name no passage."""

    existing: tuple[str, ...]
    missing: tuple[str, ...]
    uncited: tuple[str, ...]

    @property
    def hold(self) -> bool:
        """Claim that every mark names a passage that was there, and that there is one."""
        return bool(self.existing) and not self.missing


@dataclass(frozen=True, slots=True)
class Support:
    """One claim and the passage that supports it best; `score` from 0 to 1."""

    claim: str
    passage: str
    score: float
    is_supported: bool


@dataclass(frozen=True, slots=True)
class Groundedness:
    """How much of an answer its passages support; `share` is None for an answer that claims nothing."""

    share: float | None
    claims: tuple[Support, ...]

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Return the claims that no passage supports."""
        return tuple(one.claim for one in self.claims if not one.is_supported)


@dataclass(frozen=True, slots=True)
class Extract:
    """An answer that only quotes: `text` is the sentences and their citation."""

    text: str
    passage: str
    sentences: tuple[str, ...]


def check_citations(answer: str, passages: Sequence[Hit]) -> Citations:
    """Return which citations of an answer exist, which do not, and which of its claims have none.

    Args:
        answer: what the model wrote.
        passages: what it was given, in that order.
    """
    existing: dict[str, None] = {}
    missing: dict[str, None] = {}
    uncited: list[str] = []
    for text, marks in _marked(answer):
        named = [(mark, _passage(mark, passages)) for mark in marks]
        existing |= {hit.id: None for _, hit in named if hit}
        missing |= {mark: None for mark, hit in named if hit is None}
        if _claims(text) and not any(hit for _, hit in named):
            uncited.append(text)
    return Citations(tuple(existing), tuple(missing), tuple(uncited))


def support(
    answer: str,
    passages: Sequence[Hit],
    *,
    embedder: Embeds | None = None,
    least_overlap: float = LEAST_OVERLAP,
    least_cosine: float = LEAST_COSINE,
) -> Groundedness:
    """Return the share of an answer's claims that the passages support: those it cites, or any where it cites none.

    A passage supports a claim if it holds enough of its terms, or says something near enough in meaning, and holds
    every number in it. That shows where words come from; a claim that turns a passage's words round passes.

    Args:
        answer: what the model wrote.
        passages: what it was given, in that order.
        embedder: also counts nearness in meaning.
        least_overlap: the share of a claim's terms that a passage must hold.
        least_cosine: the nearness, to one of the passage's sentences, that does as well.
    """
    found: list[Support] = []
    for text, marks in _marked(answer):
        if not _claims(text):
            continue
        cited = [hit for hit in (_passage(mark, passages) for mark in dict.fromkeys(marks)) if hit]
        found.append(_best_support(text, cited or passages, embedder, least_overlap, least_cosine))
    share = sum(one.is_supported for one in found) / len(found) if found else None
    return Groundedness(share, tuple(found))


def best_passage(hits: Sequence[Hit], question: str) -> Extract | None:
    """Return the extractive answer: of the passage that shares most words, the two sentences that do; None for no hits.

    It is the baseline that a model's answers must beat, and what callers get while the model is unwell.
    """
    if not hits:
        return None
    best = max(hits, key=lambda hit: hit.bm25)
    told = sentences(best.text) or [best.text.strip()]
    asked = set(terms(question))
    order = sorted(range(len(told)), key=lambda at: (-len(asked & set(terms(told[at]))), at))
    chosen = tuple(told[at] for at in sorted(order[:_EXTRACTED]))
    return Extract(f"{' '.join(chosen)} [{best.id}]", best.id, chosen)


def _marked(answer: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the sentences without their marks, each with those; a mark behind a full stop belongs before it."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for sentence in sentences(_CODE.sub(lambda code: code[0].translate(_UNBRACKETED), answer)):
        lead = _LEADING.match(sentence)
        if lead and found and _marks(lead[0]):
            before, marks = found[-1]
            found[-1] = (before, marks + _marks(lead[0]))
            sentence = sentence[lead.end() :]  # noqa: PLW2901 (what is left of it)
        if words(sentence):
            bare = " ".join(_MARK.sub(_unmarked, sentence).split())
            found.append((_GAP.sub("", bare), _marks(sentence)))
    return found


def _marks(text: str) -> tuple[str, ...]:
    return tuple(mark for bracket in _MARK.finditer(text) for mark in _named(bracket[1]))


def _named(inside: str) -> tuple[str, ...]:
    """Return the passages that a bracket names; none if it is a bracket like any other."""
    parts = tuple(part.strip() for part in re.split("[,;]", inside))
    return parts if all(_PLACE.fullmatch(part) or ("#" in part and " " not in part) for part in parts) else ()


def _unmarked(bracket: re.Match[str]) -> str:
    return "" if _named(bracket[1]) else bracket[0]


def _passage(mark: str, passages: Sequence[Hit]) -> Hit | None:
    if _PLACE.fullmatch(mark):
        place = int(mark.removeprefix("^"))
        return passages[place - 1] if 1 <= place <= len(passages) else None
    return next((hit for hit in passages if hit.id == mark), None)


def _claims(sentence: str) -> bool:
    """Claim that a sentence says something that a passage could support: "Sure!" does not."""
    return len(set(terms(sentence))) >= _LEAST_TERMS


def _best_support(
    claim: str, passages: Sequence[Hit], embedder: Embeds | None, least_overlap: float, least_cosine: float
) -> Support:
    best = Support(claim, "", 0.0, is_supported=False)
    for hit in passages:
        text = "\n".join((*hit.trail, hit.text))
        has_numbers = _numbers(claim) <= _numbers(text)
        overlap = _overlap(claim, text)
        near = _nearness(claim, hit.text, embedder) if embedder and overlap < least_overlap else 0.0
        holds = has_numbers and (overlap >= least_overlap or near >= least_cosine)
        one = Support(claim, hit.id, max(overlap, near), holds)
        best = max(best, one, key=lambda it: (it.is_supported, it.score))
    return best


def _overlap(claim: str, text: str) -> float:
    wanted = set(terms(claim))
    return len(wanted & set(terms(text))) / len(wanted)


def _numbers(text: str) -> set[str]:
    return {stem(word) for word in words(text) if any(letter.isdigit() for letter in word)}


def _nearness(claim: str, text: str, embedder: Embeds) -> float:
    told = sentences(text)
    if not told:
        return 0.0
    vectors = embedder.embed([claim, *told])
    return max(0.0, float((vectors[1:] @ vectors[0]).max()))
