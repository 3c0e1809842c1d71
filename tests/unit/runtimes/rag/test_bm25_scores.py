"""BM25 by arrays gives the scores of the formula."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.runtimes.rag.bm25 import Bm25, post

TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12), min_size=1, max_size=8)


def by_the_formula(texts, question, k1, b):
    """Score each text with Lucene's BM25, one sum at a time."""
    n, mean = len(texts), max(sum(map(len, texts)) / len(texts), 1)
    totals = []
    for text in texts:
        total = 0.0
        for term in (one for one in question if one in text):
            holders = sum(term in other for other in texts)
            idf = math.log(1 + (n - holders + 0.5) / (holders + 0.5))
            total += idf * text.count(term) / (text.count(term) + k1 * (1 - b + b * len(text) / mean))
        totals.append(total)
    return totals


@given(TEXTS, st.lists(st.sampled_from("abcdefgz"), max_size=6), st.floats(0.5, 3), st.floats(0, 1))
def test_scores_are_those_of_the_formula(texts, question, k1, b):
    """Also for terms that come twice, texts without terms, and terms that no text holds."""
    found = Bm25(post(texts), k1, b).scores(question)
    assert found == pytest.approx(by_the_formula(texts, question, k1, b), abs=1e-5)


@given(TEXTS)
def test_postings_hold_each_term_of_each_text_once_and_in_order(texts):
    """The arrays say exactly what the texts said."""
    kept = post(texts)
    assert list(kept.vocabulary) == sorted({term for text in texts for term in text})
    for at, term in enumerate(kept.vocabulary):
        part = slice(kept.starts[at], kept.starts[at + 1])
        assert dict(zip(kept.passages[part].tolist(), kept.counts[part].tolist(), strict=True)) == {
            place: text.count(term) for place, text in enumerate(texts) if term in text
        }
        assert (np.diff(kept.passages[part]) > 0).all()


def test_a_rarer_term_tells_more_and_an_unknown_one_most():
    """What nobody wrote about is the strongest sign that a question is from outside."""
    scores = Bm25(post([["a", "b"], ["a"], ["a"]]))
    assert scores.idf_of("a") < scores.idf_of("b") < scores.idf_of("z")
    assert scores.holders("a").tolist() == [0, 1, 2]
    assert scores.holders("z").tolist() == []
