"""The retrieval index of a release: built from files into bytes, loaded from bytes, asked by many threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.digest import Digest, digest_bytes, short
from roadworthy.errors import ArtifactError, InputError, NotFoundError, PluginError
from roadworthy.runtimes.rag.abstain import Rule, Signals, calibrate, measure, should_abstain
from roadworthy.runtimes.rag.bm25 import Bm25, Postings, post
from roadworthy.runtimes.rag.chunk import Passage, chunk
from roadworthy.runtimes.rag.index_file import Contents, Half, Parameters, pack, unpack
from roadworthy.runtimes.rag.pseudo_questions import generate
from roadworthy.runtimes.rag.words import plain, terms

__all__ = ["Embeds", "Hit", "Index", "Parameters", "Retrieval", "build", "load"]

Floats: TypeAlias = NDArray[np.float32]


class Embeds(Protocol):
    """Turns texts into vectors of length 1; see `embed.Embedder`."""

    @property
    def identity(self) -> Digest:
        """Name what decides the vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the vectors, shape (texts, width)."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. `score` is the fused one; `cosine` is None in an index by words only."""

    id: str
    source: str
    text: str
    score: float
    bm25: float
    cosine: float | None
    trail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one question found, best first, and whether that carries an answer."""

    question: str
    hits: tuple[Hit, ...]
    signals: Signals
    abstains: bool


class Index:
    """Finds passages by words and by meaning. Nothing in it changes, so threads may share it."""

    def __init__(self, contents: Contents, embedder: Embeds | None = None, *, name: Digest = "") -> None:
        self.digest = name
        self.parameters: Parameters = contents.parameters
        self.passages: tuple[Passage, ...] = contents.passages
        self.rule: Rule | None = contents.rule
        self.embedder = embedder
        self._bm25 = Bm25(contents.postings, contents.parameters.k1, contents.parameters.b)
        self._vectors: Floats = contents.vectors.astype(np.float32)
        self._by_id = {passage.id: passage for passage in contents.passages}

    def search(self, question: str, k: int = 5) -> list[Hit]:
        """Return the k best passages, or fewer if fewer have anything to do with the question."""
        return list(self.retrieve(question, k).hits)

    def retrieve(self, question: str, k: int = 5) -> Retrieval:
        """Return the k best passages with what tells whether they carry the question.

        Raises:
            InputError: k is below 1.

        Source of the fusion: Cormack, Clarke & Buettcher 2009, reciprocal rank fusion.
        """
        if k < 1:
            raise InputError(f"{k} passages cannot be found: ask for 1 or more")
        scores, cosines = self._score(question)
        signals = measure(question, self._bm25, scores, cosines)
        fused = self._fuse(scores, cosines, k)
        hits = tuple(self._hit(at, score, scores, cosines) for at, score in fused)
        return Retrieval(question, hits, signals, should_abstain(self.rule, signals))

    def signals(self, question: str, hidden: NDArray[np.bool_] | None = None) -> Signals:
        """Return what tells whether the passages carry a question, as if the hidden ones did not exist."""
        return measure(question, self._bm25, *self._score(question), hidden)

    def passage(self, id: str) -> Passage:  # noqa: A002 (the noun's own word)
        """Return a passage by its id.

        Raises:
            NotFoundError: the index has none of that id.
        """
        found = self._by_id.get(id)
        if found is None:
            raise NotFoundError.among("passage", id, self._by_id)
        return found

    def _score(self, question: str) -> tuple[Floats, Floats | None]:
        scores = self._bm25.scores(terms(question))
        if self.embedder is None:
            return scores, None
        return scores, self._vectors @ self.embedder.embed([question])[0]

    def _fuse(self, scores: Floats, cosines: Floats | None, k: int) -> list[tuple[int, float]]:
        """Return passages and their fused scores, best first; ties go to the earlier passage."""
        given = self.parameters
        total: dict[int, float] = {}
        pool = max(given.pool, k)
        for weight, column in ((given.words_weight, scores), (given.meaning_weight, cosines)):
            if column is None or not weight:
                continue
            for rank, at in enumerate(_best(column, pool), start=1):
                total[at] = total.get(at, 0.0) + weight / (given.rank_constant + rank)
        return sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))[:k]

    def _hit(self, at: int, score: float, scores: Floats, cosines: Floats | None) -> Hit:
        passage = self.passages[at]
        cosine = None if cosines is None else float(cosines[at])
        return Hit(passage.id, passage.source, passage.text, score, float(scores[at]), cosine, passage.trail)


def build(
    files: Mapping[str, str],
    parameters: Parameters | None = None,
    *,
    embedder: Embeds | None = None,
    answerable: Sequence[str] = (),
    outside: Sequence[str] = (),
) -> bytes:
    """Build the index of a corpus; the same arguments give the same bytes.

    Vectors come from a machine's floating point: between kinds of processor their last bits, and so the digest, may
    differ. Without `embeddings` the bytes are the same everywhere.

    Args:
        files: text by path relative to the corpus' root.
        parameters: how to cut, weigh and abstain.
        embedder: MiniLM from its packages if None and the parameters ask for embeddings.
        answerable: questions that the corpus answers, as people ask them; 20 or more set the abstain threshold.
        outside: questions that it does not answer, to be counted in the rule.

    Raises:
        InputError: the corpus holds no words.
        PluginError: the extra `rag` or the embedding model's packages are missing.
    """
    given = parameters or Parameters()
    passages = chunk(files, size=given.size, overlap=given.overlap)
    postings = post([terms(indexed(passage)) for passage in passages])
    if not postings.vocabulary:
        raise InputError(f"the corpus of {len(files)} files holds no words to find")
    chosen = (embedder or _packaged()) if given.embeddings else None
    contents = _contents(given, passages, postings, chosen)
    probe = Index(contents, None if chosen is None else _Remembering(chosen))
    rule = calibrate(
        probe.signals,
        generate(passages),
        [passage.source for passage in passages],
        at_most=given.abstain_at_most,
        answerable=answerable,
        outside=outside,
    )
    return pack(replace(contents, rule=rule))


def load(content: bytes, *, embedder: Embeds | None = None) -> Index:
    """Load an index, or refuse its bytes.

    Args:
        content: what `build` returned.
        embedder: MiniLM from its packages if None and the index has vectors.

    Raises:
        ArtifactError: the bytes are broken, or the embedding model is not the one the index was built with.
        PluginError: the extra `rag` or the embedding model's packages are missing.
    """
    contents = unpack(content)
    chosen = (embedder or _packaged()) if contents.embedder else None
    if chosen is not None and chosen.identity != contents.embedder:
        raise ArtifactError(
            f"the index needs the embedding model {short(contents.embedder)}, this is {short(chosen.identity)}",
            hint="give the model it was built with, or build the index again",
        )
    return Index(contents, chosen, name=digest_bytes(content))


def indexed(passage: Passage) -> str:
    """Return what a passage is found by: its headings and its text as a reader sees it."""
    return "\n".join((*passage.trail, plain(passage.text)))


class _Remembering:
    """Embeds a question once, though calibration asks each of them twice."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder
        self._known: dict[str, Floats] = {}

    @property
    def identity(self) -> Digest:
        return self._embedder.identity

    def embed(self, texts: Sequence[str]) -> Floats:
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embedder.embed([text])[0]
        return np.stack([self._known[text] for text in texts])


def _contents(
    given: Parameters, passages: tuple[Passage, ...], postings: Postings, embedder: Embeds | None
) -> Contents:
    vectors: Half = np.empty((len(passages), 0), dtype=np.float16)
    if embedder is not None:
        # Half precision: half the size, and it hides most of what processors differ by.
        vectors = embedder.embed([indexed(passage) for passage in passages]).astype(np.float16)
    name = "" if embedder is None else embedder.identity
    return Contents(parameters=given, passages=passages, postings=postings, vectors=vectors, embedder=name)


def _packaged() -> Embeds:
    try:
        from roadworthy.runtimes.rag.embed import packaged_embedder
    except ImportError as missing:
        raise PluginError(
            f"finding passages by meaning needs the package {missing.name}, which is not installed",
            hint="pip install 'roadworthy[rag]', or build the index without embeddings",
        ) from missing
    return packaged_embedder()


def _best(scores: Floats, k: int) -> list[int]:
    """Return the places of the k highest positive scores, highest first, ties in the order of the passages."""
    least = 0.0 if len(scores) <= k else float(np.partition(scores, len(scores) - k)[len(scores) - k])
    places = np.flatnonzero((scores >= least) & (scores > 0))
    return places[np.lexsort((places, -scores[places]))][:k].tolist()
