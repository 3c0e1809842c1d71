"""Whether an answer rests on the passages it was given."""

import pytest

from rag_kit import CORPUS, HashedWords
from roadworthy.runtimes.rag.cite import best_passage, check_citations, support
from roadworthy.runtimes.rag.embed import packaged_embedder
from roadworthy.runtimes.rag.index import Hit, Parameters, build, load

INDEX = load(build(CORPUS, Parameters(embeddings=False)))
HITS = [
    Hit(
        "keys.md#rotate-1", "keys.md", "Make the new key, let callers change over, then revoke the old one.", 1, 3, None
    ),
    Hit("stop.md#stop-1", "stop.md", "While stopped, callers get a 503 with the reason.", 0.5, 2, None),
]


def test_citations_are_places_or_ids():
    """A model may write either."""
    found = check_citations("Make a new key [1]. Callers get a 503 [stop.md#stop-1].", HITS)
    assert found.existing == ("keys.md#rotate-1", "stop.md#stop-1")
    assert (found.missing, found.uncited) == ((), ())
    assert found.hold


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("Make a new key [3].", ("3",)),
        ("Make a new key [0].", ("0",)),
        ("Make a new key [1, 7].", ("7",)),
        ("Make a new key [keys.md#rotat-1].", ("keys.md#rotat-1",)),
        ("Make a new key【9】.", ("9",)),
    ],
)
def test_a_citation_that_names_no_passage_is_told(answer, missing):
    """An invented source is worse than none."""
    found = check_citations(answer, HITS)
    assert found.missing == missing
    assert not found.hold


def test_a_mark_behind_the_full_stop_belongs_to_the_sentence_before():
    """Models write it on either side."""
    found = check_citations("Make the new key. [1] Callers get a 503. [2]", HITS)
    assert found.uncited == ()
    assert found.existing == ("keys.md#rotate-1", "stop.md#stop-1")


def test_claims_without_citation_are_named_and_chatter_is_not():
    """Who checks the answer sees which sentence to doubt."""
    found = check_citations("Sure! Make the new key [1]. Then restart the server.", HITS)
    assert found.uncited == ("Then restart the server.",)


@pytest.mark.parametrize(
    "answer",
    ["Use `argv[1]` for it.", "```\nlist[2] = 1\n```", "See [the guide](https://x.test).", "Pass [name] or [options]."],
)
def test_other_brackets_are_no_citations(answer):
    """Code, links and placeholders stay what they are."""
    found = check_citations(answer, HITS)
    assert (found.existing, found.missing) == ((), ())


def test_an_answer_without_citations_does_not_hold():
    """Nothing cited is nothing proven."""
    assert not check_citations("Make the new key.", HITS).hold
    assert not check_citations("", HITS).hold


def test_support_is_the_share_of_claims_that_passages_carry():
    """Groundedness counts sentences."""
    found = support("Make a new key, let callers change, revoke the old [1]. Keys are mailed to the press [1].", HITS)
    assert found.share == 0.5
    assert found.unsupported == ("Keys are mailed to the press.",)


def test_a_cited_passage_must_itself_support_the_claim():
    """The right text under the wrong number is unsupported; without a number any passage will do."""
    assert support("Callers get a 503 with the reason [1].", HITS).share == 0
    assert support("Callers get a 503 with the reason [2].", HITS).share == 1
    assert support("Callers get a 503 with the reason.", HITS).claims[0].passage == "stop.md#stop-1"


def test_a_number_that_the_passage_lacks_is_never_supported():
    """A figure is right or wrong, whatever stands around it."""
    wrong = "Callers get a 418 with the reason [2]."
    assert support(wrong, HITS).share == 0
    assert support(wrong, HITS, embedder=HashedWords(), least_cosine=0.0).share == 0


def test_an_answer_that_claims_nothing_has_no_share():
    """No data is not ok."""
    assert support("Yes!", HITS).share is None
    assert support("", HITS).share is None
    assert support("Make the new key.", []).share == 0


def test_other_words_for_the_same_are_supported_by_meaning():
    """A paraphrase is grounded too, with the real model."""
    answer = "To swap a key, create a fresh one and disable the previous one after clients have moved."
    embedder = packaged_embedder()
    assert support(answer, HITS[:1]).share == 0
    assert support(answer, HITS[:1], embedder=embedder, least_cosine=0.6).share == 1
    assert support("The ship sailed to Lisbon in spring.", HITS, embedder=embedder).share == 0


def test_the_extract_quotes_the_passage_that_shares_most_words_and_cites_it():
    """The baseline never says what is not written, and its citation holds."""
    question = "How do I rotate a key?"
    hits = INDEX.search(question)
    extract = best_passage(hits, question)
    assert extract.passage == "keys.md#rotate-1"
    assert len(extract.sentences) <= 2
    assert all(sentence in INDEX.passage(extract.passage).text for sentence in extract.sentences)
    assert check_citations(extract.text, hits).hold
    assert support(extract.text, hits).share == 1


def test_two_best_sentences_keep_their_order():
    """An extract reads as the page does."""
    text = "Nothing here. First the key is made. Unrelated words. Then the key is ended."
    (hit,) = [Hit("a#b-1", "a", text, 1, 1, None)]
    assert best_passage([hit], "key made ended").sentences == ("First the key is made.", "Then the key is ended.")


def test_no_passages_give_no_extract():
    """Where nothing was found the caller abstains."""
    assert best_passage([], "anything") is None


@pytest.mark.parametrize(
    "piece", ["<!--", "-", "- ", " ", "[", "[1", "[1]", "【", "`", "```", ".", ". ", "(", "|", "<a", "a" * 9]
)
def test_an_answer_written_to_keep_the_reader_busy_is_read_in_one_pass(piece):
    """A model, or who speaks through it, cannot stop a worker with a long answer."""
    answer = "Make " + piece * 100_000 + "x the new key"
    assert check_citations(answer, HITS).missing == ()
    assert support(answer, HITS).share in {0, 1, None}
