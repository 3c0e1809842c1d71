"""Deterministic checks of an answer: each a function from (wants, case, answer) to a score from 0 to 1.

A check never raises for an answer, whatever a model wrote. What a check may want is stated by `manifest.suites`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

from roadworthy.manifest.patterns import matches as pattern_matches
from roadworthy.ports.evaluation import Answered, Case, Check
from roadworthy.runtimes.llm.counting import estimate_tokens
from roadworthy.runtimes.rag.cite import check_citations
from roadworthy.runtimes.rag.index import Hit
from roadworthy.runtimes.scoring.languages import is_in
from roadworthy.stats.text import rouge_l, token_f1

_FENCED: Final = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
_DECLINES: Final = (
    "i don't know", "i do not know", "i can't answer", "i cannot answer", "i can not answer", "not able to answer",
    "unable to answer", "no information", "not enough information", "don't have information",
    "do not have information", "cannot find", "can't find", "could not find", "does not say", "do not say",
)  # fmt: skip
_BLANKS: Final = re.compile(r"\s+")


def run_check(check: Check, case: Case, answered: Answered) -> float:
    """Return what an answer scores by one check.

    Raises:
        KeyError: there is no such check; a suite that was read names none of these.
    """
    return _CHECKS[check.name](check.wants, case, answered)


def declines(answered: Answered) -> bool:
    """Claim that the answer is none: the index abstained, or the text says that it does not know."""
    text = _plain(answered.text).replace("\u2019", "'")
    return answered.abstained or any(words in text for words in _DECLINES)


def _contains(wants: Any, _: Case, answered: Answered) -> float:
    """Return the share of the wanted texts that are there."""
    wanted = _texts(wants)
    text = _plain(answered.text)
    return sum(_plain(one) in text for one in wanted) / len(wanted)


def _contains_any(wants: Any, _: Case, answered: Answered) -> float:
    text = _plain(answered.text)
    return float(any(_plain(one) in text for one in _texts(wants)))


def _lacks(wants: Any, _: Case, answered: Answered) -> float:
    text = _plain(answered.text)
    return float(not any(_plain(one) in text for one in _texts(wants)))


def _matches(wants: Any, _: Case, answered: Answered) -> float:
    return float(pattern_matches(str(wants), answered.text))


def _equals(wants: Any, _: Case, answered: Answered) -> float:
    return float(any(_plain(one).strip() == _plain(answered.text).strip() for one in _texts(wants)))


def _json_schema(wants: Any, _: Case, answered: Answered) -> float:
    fenced = _FENCED.match(answered.text)
    try:
        document: Any = json.loads(fenced[1] if fenced else answered.text)
    except (ValueError, RecursionError):
        return 0.0
    return float(_validator(json.dumps(wants, sort_keys=True)).is_valid(document))


@cache
def _validator(schema: str) -> Any:
    # An extra: only suites that name a schema need it.
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry: a schema that refers elsewhere is never fetched.
    return Draft202012Validator(json.loads(schema), registry=Registry())


def _max_words(wants: Any, _: Case, answered: Answered) -> float:
    return float(len(answered.text.split()) <= wants)


def _max_tokens(wants: Any, _: Case, answered: Answered) -> float:
    return float((answered.usage.output or estimate_tokens(len(answered.text))) <= wants)


def _cites(wants: Any, _: Case, answered: Answered) -> float:
    """Score 1 when there is a citation and each names a passage that was handed over; `false` wants none at all."""
    passages = [Hit(one, one.partition("#")[0], "", 0.0, 0.0, None) for one in answered.passages]
    found = check_citations(answered.text, passages)
    return float(found.hold) if wants else float(not found.existing and not found.missing)


def _abstains(wants: Any, _: Case, answered: Answered) -> float:
    return float(declines(answered) is bool(wants))


def _similar(wants: Any, _: Case, answered: Answered) -> float:
    """Score the likeness to the nearest reference answer, or whether it reaches `at_least`."""
    given = cast("Mapping[str, Any]", wants) if isinstance(wants, Mapping) else {"to": wants}
    measure = rouge_l if given.get("by") == "rouge" else token_f1
    best = max(measure(answered.text, one) for one in _texts(given["to"]))
    least = given.get("at_least")
    return best if least is None else float(best >= least)


def _language(wants: Any, _: Case, answered: Answered) -> float:
    return float(is_in(str(wants), answered.text))


def _finishes(wants: Any, _: Case, answered: Answered) -> float:
    return float((answered.finish in {"", "stop"}) is bool(wants))


def _texts(wants: Any) -> Sequence[str]:
    return [str(one) for one in cast("Sequence[Any]", wants)] if isinstance(wants, list | tuple) else [str(wants)]


def _plain(text: str) -> str:
    return _BLANKS.sub(" ", text).casefold()


_CHECKS: Final[Mapping[str, Callable[[Any, Case, Answered], float]]] = {
    "contains": _contains,
    "contains_any": _contains_any,
    "lacks": _lacks,
    "matches": _matches,
    "equals": _equals,
    "json_schema": _json_schema,
    "max_words": _max_words,
    "max_tokens": _max_tokens,
    "cites": _cites,
    "abstains": _abstains,
    "similar": _similar,
    "language": _language,
    "finishes": _finishes,
}
