"""What a question finds, and when that does not carry an answer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_kit import CORPUS, HashedWords, own_pages, questions
from roadworthy.errors import InputError, NotFoundError
from roadworthy.runtimes.rag.abstain import Rule, Signals, should_abstain
from roadworthy.runtimes.rag.index import Parameters, build, load
from roadworthy.runtimes.rag.pseudo_questions import generate
from roadworthy.stats.ranking import hit_rate

WORDS = Parameters(embeddings=False)
SMALL = load(build(CORPUS, WORDS))


@pytest.fixture(scope="module")
def by_words():
    """The project's own pages, by words only."""
    return load(build(own_pages(), WORDS))


@pytest.fixture(scope="module")
def hybrid():
    """The project's own pages, also by meaning, with the real model."""
    return load(build(own_pages()))


def found(index, asked, k=5):
    """Return which of the first k passages are of a right page, shape (questions, k)."""
    gains = np.zeros((len(asked), k))
    for row, one in enumerate(asked):
        for place, hit in enumerate(index.search(one["question"], k)):
            gains[row, place] = hit.source in one["pages"]
    return gains


def abstained(index, asked):
    """Return the share of questions that are abstained from."""
    return sum(index.retrieve(question).abstains for question in asked) / len(asked)


def test_a_hit_tells_what_it_is_and_why_it_was_found():
    """A record can show each score."""
    (hit, *_) = SMALL.search("How do I rotate keys?")
    assert (hit.id, hit.source, hit.trail) == ("keys.md#rotate-1", "keys.md", ("Keys", "Rotate"))
    assert hit.text.startswith("Make the new key")
    assert hit.bm25 > 0
    assert hit.cosine is None
    assert SMALL.passage(hit.id).text == hit.text


def test_words_and_meaning_are_fused_by_rank():
    """Each ranking gives weight / (constant + rank); the sum is the score."""
    index = load(build(CORPUS, Parameters(meaning_weight=2), embedder=HashedWords()), embedder=HashedWords())
    hits = index.search("revoke the old key", 4)
    by_words = [hit.id for hit in sorted(hits, key=lambda hit: -hit.bm25) if hit.bm25 > 0]
    by_meaning = [hit.id for hit in sorted(hits, key=lambda hit: -hit.cosine) if hit.cosine > 0]
    for hit in hits:
        wanted = 1 / (61 + by_words.index(hit.id)) if hit.id in by_words else 0
        wanted += 2 / (61 + by_meaning.index(hit.id)) if hit.id in by_meaning else 0
        assert hit.score == pytest.approx(wanted)


def test_a_question_that_shares_nothing_finds_nothing_and_is_abstained_from():
    """No hit is better than a random one."""
    answer = SMALL.retrieve("quantum chromodynamics")
    assert answer.hits == ()
    assert answer.abstains


@pytest.mark.parametrize(
    "question", ["", "???", "how do I", "\x00", "\U0001d518\U0001d52b", "a" * 100_000, "\ud800 key"]
)
def test_odd_questions_are_answered_or_abstained_from(question):
    """A caller cannot make the index raise."""
    index = load(build(CORPUS, embedder=HashedWords()), embedder=HashedWords())
    assert len(index.retrieve(question).hits) <= 5
    assert len(SMALL.retrieve(question).hits) <= 5


def test_fewer_than_one_passage_cannot_be_asked_for():
    """A k of 0 is a mistake, not an empty answer."""
    with pytest.raises(InputError, match="1 or more"):
        SMALL.search("keys", 0)


def test_an_unknown_passage_is_named_with_the_nearest():
    """A mistyped id says so."""
    with pytest.raises(NotFoundError, match=r"did you mean 'keys.md#rotate-1'"):
        SMALL.passage("keys.md#rotat-1")


def test_threads_share_an_index(by_words):
    """Many requests at once get the answers of one at a time."""
    asked = [one["question"] for one in questions()["seen_answerable"]] * 4
    alone = [by_words.retrieve(question) for question in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(by_words.retrieve, asked)) == alone


@pytest.mark.long
def test_questions_about_the_documentation_find_the_right_page(hybrid, by_words):
    """Of 85 questions that people wrote, by words and meaning nearly all have a right page among five passages."""
    asked = questions()["seen_answerable"] + questions()["unseen_answerable"]
    assert len(asked) >= 85
    both, words = found(hybrid, asked), found(by_words, asked)
    assert hit_rate(both, 5).estimate >= 0.95
    assert hit_rate(both, 1).estimate >= 0.70
    assert hit_rate(words, 5).estimate >= 0.88
    assert hit_rate(words, 1).estimate >= 0.65


def test_questions_from_outside_are_abstained_from_and_answerable_ones_rarely(hybrid, by_words):
    """Most questions about other things get no made-up answer; floors leave room for pages that will be written."""
    answerable = [one["question"] for kind in ("seen", "unseen") for one in questions()[f"{kind}_answerable"]]
    outside = [one for kind in ("seen", "unseen") for one in questions()[f"{kind}_outside"]]
    assert len(outside) >= 85
    assert abstained(hybrid, outside) >= 0.82
    assert abstained(hybrid, answerable) <= 0.10
    assert abstained(by_words, outside) >= 0.78
    assert abstained(by_words, answerable) <= 0.15


def test_the_rule_states_its_rate_and_keeps_it(by_words):
    """Of held-out questions at most the declared share is abstained from, and hidden files' ones more often."""
    rule = by_words.rule
    assert rule.answerable >= 100
    assert rule.answerable_abstained / rule.answerable <= rule.at_most == 0.05
    assert rule.hidden_abstained / rule.hidden > 2 * rule.at_most
    assert rule.calibrated_on == "generated"
    assert all(weight >= 0 for weight in rule.weights)


def test_questions_that_the_project_gives_set_the_threshold():
    """People's questions are better than generated ones, from twenty on."""
    asked, outside = [one["question"] for one in questions()["seen_answerable"]], questions()["seen_outside"]
    rule = load(build(own_pages(), WORDS, answerable=asked, outside=outside)).rule
    assert rule.calibrated_on == "given"
    assert rule.answerable == len(asked)
    assert rule.answerable_abstained / len(asked) <= 0.05
    assert rule.outside == len(outside)
    assert rule.outside_abstained / len(outside) > 0.8
    assert load(build(own_pages(), WORDS, answerable=asked[:19])).rule.calibrated_on == "generated"


def test_a_small_corpus_states_no_rate():
    """Three questions are no calibration: only what nothing touches is abstained from."""
    assert SMALL.rule is None
    assert not SMALL.retrieve("rotate keys").abstains


SHARES = st.floats(0, 1)


@given(st.tuples(SHARES, SHARES, SHARES, SHARES), st.integers(0, 3), SHARES)
def test_a_better_match_never_means_to_abstain(row, at, more):
    """No signal counts against an answer."""
    rule = Rule(
        weights=(1.0, 0.0, 3.0, 0.5), threshold=2.0, at_most=0.05, calibrated_on="generated",
        answerable=9, answerable_abstained=0, hidden=9, hidden_abstained=0,
    )  # fmt: skip
    better = [*row[:at], max(row[at], more), *row[at + 1 :]]
    assert should_abstain(rule, Signals(*row)) or not should_abstain(rule, Signals(*better))


def test_generated_questions_are_the_same_each_time_and_spread_over_the_corpus(by_words):
    """Calibration is part of the bytes, so it draws nothing at random."""
    made = generate(by_words.passages)
    assert made == generate(by_words.passages)
    assert len(made) <= 400
    assert len({one.source for one in made}) > 0.8 * len({one.source for one in by_words.passages})
