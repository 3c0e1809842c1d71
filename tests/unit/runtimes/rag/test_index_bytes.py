"""An index is one file whose every byte is checked."""

import hashlib
import json
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_kit import CORPUS, HashedWords
from roadworthy.domain.digest import digest_bytes
from roadworthy.errors import ArtifactError, InputError, PluginError
from roadworthy.runtimes.rag.index import Parameters, build, load
from roadworthy.runtimes.rag.index_file import MAGIC, pack, unpack

WORDS = Parameters(embeddings=False)
BOTH = Parameters()
BY_WORDS = build(CORPUS, WORDS)
BY_BOTH = build(CORPUS, BOTH, embedder=HashedWords())


def header_of(content):
    """Return the header of an index."""
    (length,) = struct.unpack("<Q", content[8:16])
    return json.loads(content[16 : 16 + length])


def with_header(content, header):
    """Return the bytes with another header and a sum that fits."""
    (length,) = struct.unpack("<Q", content[8:16])
    raw = json.dumps(header).encode()
    whole = MAGIC + struct.pack("<Q", len(raw)) + raw + content[16 + length : -32]
    return whole + hashlib.sha256(whole).digest()


def test_the_same_corpus_and_parameters_give_the_same_bytes():
    """The digest names the index, wherever and whenever it is built."""
    assert build(dict(reversed(CORPUS.items())), WORDS) == BY_WORDS
    assert build(CORPUS, BOTH, embedder=HashedWords()) == BY_BOTH


@pytest.mark.parametrize(
    "other",
    [
        {"files": {**CORPUS, "keys.md": CORPUS["keys.md"] + " Really."}},
        {"parameters": replace(WORDS, size=40)},
        {"parameters": replace(WORDS, k1=1.5)},
        {"parameters": replace(WORDS, abstain_at_most=0.1)},
    ],
)
def test_a_change_of_the_corpus_or_of_a_parameter_changes_the_digest(other):
    """A changed index is a new release."""
    assert digest_bytes(build(other.get("files", CORPUS), other.get("parameters", WORDS))) != digest_bytes(BY_WORDS)


def test_another_embedding_model_changes_the_digest():
    """The model is part of what the index is."""
    assert build(CORPUS, BOTH, embedder=HashedWords("another")) != BY_BOTH


@pytest.mark.parametrize("content", [BY_WORDS, BY_BOTH])
def test_what_was_packed_is_what_is_unpacked(content):
    """Nothing is lost between building and loading."""
    assert pack(unpack(content)) == content


@given(st.integers(0, len(BY_BOTH) - 1), st.integers(1, 255))
@settings(max_examples=200)
def test_no_altered_byte_is_accepted(at, flip):
    """A disk that errs does not answer questions."""
    broken = bytearray(BY_BOTH)
    broken[at] ^= flip
    with pytest.raises(ArtifactError):
        load(bytes(broken), embedder=HashedWords())


@given(st.one_of(st.integers(0, len(BY_BOTH) - 1).map(lambda at: BY_BOTH[:at]), st.binary(max_size=200)))
@settings(max_examples=200)
def test_nothing_cut_off_or_invented_is_accepted(content):
    """Bytes that are no index end in one message."""
    with pytest.raises(ArtifactError):
        load(content)


def broken(change):
    """Return the index with a changed header."""
    header = header_of(BY_BOTH)
    change(header)
    return with_header(BY_BOTH, header)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h.update(postings=h["postings"] + 1), "not as long"),
        (lambda h: h.update(postings=-1), "negative"),
        (lambda h: h.update(width=10**15), "not as long"),
        (lambda h: h.update(width=0), "do not match"),
        (lambda h: h.update(embedder="MiniLM"), "do not match"),
        (lambda h: h.update(more=1), "header"),
        (lambda h: h.pop("vocabulary"), "header"),
        (lambda h: h["vocabulary"].reverse(), "not in order"),
        (lambda h: h["vocabulary"].pop(), "not as long"),
        (lambda h: h["passages"].pop(), "not as long"),
        (lambda h: h["passages"].clear(), "no ids"),
        (lambda h: h["passages"][0].update(id=h["passages"][1]["id"]), "some twice"),
        (lambda h: h["passages"][0].update(text=5), "header"),
        (lambda h: h["parameters"].update(pool=0), "out of range"),
        (lambda h: h["parameters"].update(k1=None), "header"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused_though_its_sum_fits(change, reason):
    """Whoever can compute a sum still cannot make the loader read past its arrays."""
    with pytest.raises(ArtifactError, match=reason):
        load(broken(change), embedder=HashedWords())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: {"starts": p.starts[::-1].copy()}, "places do not add up"),
        (lambda p: {"starts": p.starts + 1}, "places do not add up"),
        (lambda p: {"passages": p.passages + 10_000}, "names no passage"),
        (lambda p: {"passages": -1 - p.passages}, "names no passage"),
        (lambda p: {"counts": p.counts * 0}, "counts nothing"),
        (lambda p: {"lengths": p.lengths + 1}, "lengths do not add up"),
        (lambda p: {"passages": np.zeros_like(p.passages)}, "not in order"),
    ],
)
def test_postings_that_contradict_themselves_are_refused(change, reason):
    """A score is never read from the wrong place."""
    held = unpack(BY_WORDS)
    with pytest.raises(ArtifactError, match=reason):
        load(pack(replace(held, postings=replace(held.postings, **change(held.postings)))))


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "not finite"), (np.inf, "not finite"), (9.0, "length 1")])
def test_vectors_that_are_none_are_refused(value, reason):
    """One NaN would sort anywhere."""
    held = unpack(BY_BOTH)
    vectors = held.vectors.copy()
    vectors[0, 0] = value
    with pytest.raises(ArtifactError, match=reason):
        load(pack(replace(held, vectors=vectors)), embedder=HashedWords())


def test_an_abstain_rule_out_of_range_is_refused():
    """A rule that overflows would abstain from everything or nothing."""
    files = {
        f"p{at}.md": f"# Page {at}\n\nThe page number{at} tells about topic{at} and matter{at}." for at in range(50)
    }
    held = unpack(build(files, WORDS))
    with pytest.raises(ArtifactError, match="abstain rule"):
        load(pack(replace(held, rule=replace(held.rule, threshold=1e300))))


def test_an_index_with_vectors_asks_for_the_model_it_was_built_with():
    """Vectors of two models cannot be compared."""
    with pytest.raises(ArtifactError, match="embedding model"):
        load(BY_BOTH, embedder=HashedWords("another"))


def test_the_base_install_builds_and_asks_an_index_by_words(monkeypatch):
    """The baseline's answer needs no extra."""
    for name in ("onnxruntime", "tokenizers", "roadworthy.runtimes.rag.embed"):
        monkeypatch.setitem(sys.modules, name, None)
    assert load(build(CORPUS, WORDS)).search("revoke the old key")[0].id == "keys.md#rotate-1"


@pytest.mark.parametrize("ask", [lambda: build(CORPUS), lambda: load(BY_BOTH)])
def test_a_missing_extra_is_named_in_one_line(monkeypatch, ask):
    """Who lacks a package reads which."""
    monkeypatch.delitem(sys.modules, "roadworthy.runtimes.rag.embed", raising=False)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(PluginError, match="tokenizers") as caught:
        ask()
    assert "roadworthy[rag]" in caught.value.hint


@pytest.mark.parametrize("files", [{}, {"a.md": ""}, {"a.md": "# ...\n\n---\n"}])
def test_a_corpus_without_words_is_refused(files):
    """An empty index would abstain from everything and look well."""
    with pytest.raises(InputError, match="no words"):
        build(files, WORDS)


def test_parameters_out_of_range_are_named_all_at_once():
    """Two mistakes are one message."""
    with pytest.raises(InputError, match=r"overlap \(80\), pool \(0\)"):
        Parameters(overlap=80, pool=0)
