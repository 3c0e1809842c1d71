"""An index as one file: a checked header, raw arrays, a digest. Reading it never executes anything.

`RWINDEX1`, the header's length (u64), the header (JSON), then little-endian arrays in the order of `_ARRAYS`, then the
SHA-256 of all that. Only whole numbers are kept of the words, so an index without vectors has the same bytes on every
machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.digest import Digest, is_digest
from roadworthy.errors import ArtifactError, InputError
from roadworthy.runtimes.rag.abstain import Rule
from roadworthy.runtimes.rag.bm25 import K1, B, Postings
from roadworthy.runtimes.rag.chunk import Passage

MAGIC: Final = b"RWINDEX1"
_LENGTH: Final = struct.Struct("<Q")
_SUM_BYTES: Final = 32
_LEAST_SIZE: Final = 20
_NORM_SLACK: Final = 0.01
_MOST_WEIGHT: Final = 1e9

Half: TypeAlias = NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How an index is built and searched; part of its bytes, so part of its digest.

    Attributes:
        size: the most words in a passage. 80 ranked better than 120 and 180 on this project's pages.
        overlap: how many words of a passage its follower repeats.
        k1: how soon a repeated term stops counting.
        b: how much long passages are marked down.
        embeddings: whether passages are also found by meaning; needs the extra `rag`.
        words_weight: of the rank by words in the fused score.
        meaning_weight: of the rank by meaning.
        rank_constant: the k of reciprocal rank fusion: how little the first ranks stand out.
        pool: how many passages of either ranking are fused.
        abstain_at_most: the share of answerable questions that may be abstained from.

    Raises:
        InputError: a value is out of range.
    """

    size: int = 80
    overlap: int = 0
    k1: float = K1
    b: float = B
    embeddings: bool = True
    words_weight: float = 1.0
    meaning_weight: float = 1.0
    rank_constant: float = 60.0
    pool: int = 50
    abstain_at_most: float = 0.05

    def __post_init__(self) -> None:
        ranges = {
            "size": _LEAST_SIZE <= self.size <= 10_000,  # noqa: PLR2004
            "overlap": 0 <= self.overlap < self.size / 2,
            "k1": 0 < self.k1 <= 10,  # noqa: PLR2004
            "b": 0 <= self.b <= 1,
            "words_weight": 0 <= self.words_weight <= 1e3,  # noqa: PLR2004
            "meaning_weight": 0 <= self.meaning_weight <= 1e3,  # noqa: PLR2004
            "rank_constant": 0 < self.rank_constant <= 1e6,  # noqa: PLR2004
            "pool": 1 <= self.pool <= 10_000,  # noqa: PLR2004
            "abstain_at_most": 0 < self.abstain_at_most < 1,
        }
        wrong = [f"{name} ({getattr(self, name)})" for name, holds in ranges.items() if not holds]
        if wrong:
            raise InputError(f"the index cannot be built with {', '.join(wrong)}: out of range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an index consists of; `vectors`, shape (passages, width), is empty in one by words only."""

    parameters: Parameters
    passages: tuple[Passage, ...]
    postings: Postings
    vectors: Half
    embedder: Digest = ""
    rule: Rule | None = None


class _Header(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    parameters: Parameters
    embedder: str
    rule: Rule | None
    passages: tuple[Passage, ...]
    vocabulary: tuple[str, ...]
    postings: int
    width: int


def pack(contents: Contents) -> bytes:
    """Return the bytes of an index; the same contents give the same bytes."""
    kept = contents.postings
    header = msgspec.json.encode(
        _Header(
            parameters=contents.parameters,
            embedder=contents.embedder,
            rule=contents.rule,
            passages=contents.passages,
            vocabulary=kept.vocabulary,
            postings=len(kept.passages),
            width=contents.vectors.shape[1],
        )
    )
    arrays = [kept.starts, kept.passages, kept.counts, kept.lengths]
    body = [np.ascontiguousarray(array, dtype="<i4").tobytes() for array in arrays]
    body.append(np.ascontiguousarray(contents.vectors, dtype="<f2").tobytes())
    whole = b"".join([MAGIC, _LENGTH.pack(len(header)), header, *body])
    return whole + hashlib.sha256(whole).digest()


def unpack(content: bytes) -> Contents:
    """Return what the bytes hold, or refuse them; every number is checked before it is used.

    Raises:
        ArtifactError: says what is wrong.
    """
    try:
        return _unpack(content)
    except _Broken as wrong:
        raise ArtifactError(f"the index cannot be loaded: {wrong}", hint="build it again") from None


class _Broken(Exception):
    """What is wrong with the bytes."""


def _unpack(content: bytes) -> Contents:
    view = memoryview(content)
    start = len(MAGIC) + _LENGTH.size
    _check(len(view) >= start + _SUM_BYTES, "it is too short")
    _check(bytes(view[: len(MAGIC)]) == MAGIC, "it is no index, or one of another version")
    end = len(view) - _SUM_BYTES
    _check(hashlib.sha256(view[:end]).digest() == bytes(view[end:]), "its bytes were altered or cut off")
    (length,) = _LENGTH.unpack(view[len(MAGIC) : start])
    _check(length <= end - start, "its header is longer than the file")
    header = _header(view[start : start + length])
    postings, vectors = _arrays(view[start + length : end], header)
    _check_postings(postings, len(header.passages))
    _check_vectors(vectors, header)
    return Contents(
        parameters=header.parameters,
        passages=header.passages,
        postings=postings,
        vectors=vectors,
        embedder=header.embedder,
        rule=header.rule,
    )


def _header(raw: memoryview) -> _Header:
    try:
        header = msgspec.json.decode(raw, type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, InputError) as wrong:
        raise _Broken(f"its header is wrong ({str(wrong).splitlines()[0]})") from None
    ids = {passage.id for passage in header.passages}
    _check(bool(ids) and len(ids) == len(header.passages), "its passages have no ids, or some twice")
    in_order = all(first < second for first, second in zip(header.vocabulary, header.vocabulary[1:], strict=False))
    _check(in_order, "its vocabulary is not in order")
    _check(header.postings >= 0 and header.width >= 0, "it has a negative size")
    has_vectors = header.parameters.embeddings
    _check(has_vectors == (header.width > 0) == is_digest(header.embedder), "its vectors and its embedder do not match")
    weights = () if header.rule is None else (*header.rule.weights, header.rule.threshold)
    _check(all(abs(weight) <= _MOST_WEIGHT for weight in weights), "its abstain rule is out of range")
    return header


def _arrays(raw: memoryview, header: _Header) -> tuple[Postings, Half]:
    n, terms = len(header.passages), len(header.vocabulary)
    sizes = (terms + 1, header.postings, header.postings, n)
    _check(len(raw) == 4 * sum(sizes) + 2 * n * header.width, "its arrays are not as long as its header says")
    parts = _parts(raw, sizes)
    vectors = np.frombuffer(raw[4 * sum(sizes) :], dtype="<f2").reshape(n, header.width)
    starts, passages, counts, lengths = (part.astype(np.int32, copy=False) for part in parts)
    return Postings(header.vocabulary, starts, passages, counts, lengths), vectors.astype(np.float16, copy=False)


def _parts(raw: memoryview, sizes: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    at = 0
    for size in sizes:
        yield np.frombuffer(raw[at : at + 4 * size], dtype="<i4")
        at += 4 * size


def _check_postings(kept: Postings, n: int) -> None:
    starts, passages = kept.starts, kept.passages
    rises = bool((np.diff(starts) > 0).all())
    _check(int(starts[0]) == 0 and rises and int(starts[-1]) == len(passages), "its terms' places do not add up")
    _check(not len(passages) or (passages.min() >= 0 and passages.max() < n), "a posting names no passage")
    _check(not len(passages) or kept.counts.min() >= 1, "a posting counts nothing")
    # Ascending within each term: a passage that stood there twice would lose a part of its score.
    inner = np.ones(max(len(passages) - 1, 0), dtype=bool)
    inner[starts[1:-1] - 1] = False
    _check(bool((np.diff(passages)[inner] > 0).all()), "its postings are not in order")
    totals = np.bincount(passages, weights=kept.counts, minlength=n)
    _check(bool((totals == kept.lengths).all()), "its passages' lengths do not add up")


def _check_vectors(vectors: Half, header: _Header) -> None:
    if not header.width:
        return
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    _check(bool(np.isfinite(lengths).all()), "a vector is not finite")
    _check(bool((np.abs(lengths - 1) < _NORM_SLACK).all()), "a vector has not length 1")


def _check(holds: bool, wrong: str) -> None:
    if not holds:
        raise _Broken(wrong)
