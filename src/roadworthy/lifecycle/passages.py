"""The passages behind answers: texts read from the release's index, and how far an answer rests on them.

Off the request path: which passages an answer was handed is on its record, what they say is in the release's index.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.record import Flag, Record
from roadworthy.lifecycle.fold_chats import REFUSED_FINISHES, passages_of, told
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.chats import GroundedBucket
from roadworthy.runtimes.rag.chunk import Passage
from roadworthy.runtimes.rag.cite import Groundedness, support
from roadworthy.runtimes.rag.index import Hit
from roadworthy.runtimes.rag.index_file import unpack

SHARE: Final = 0.1
"""The share of answers whose claims are held against their passages."""
MOST_AT_ONCE: Final = 50
"""How many answers one look judges at most, so that a flood of answers never holds up a rollback."""
_KEPT_INDEXES: Final = 4
_NOT_ANSWERED: Final = 400
_NOT_CLAIMED: Final = Flag.ABSTAINED | Flag.DEFAULTED


class Passages:
    """Reads passages out of index artifacts; the newest few indexes stay in memory."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._kept: OrderedDict[Digest, dict[str, Passage]] = OrderedDict()

    def of(self, candidate: Candidate, ids: Sequence[str]) -> tuple[Passage, ...] | None:
        """Return passages by their ids; None where the release has no index, or not all of them.

        Raises:
            ArtifactError: the index is missing or altered.
        """
        known = self._by_id(candidate)
        return tuple(known[name] for name in ids) if known and all(name in known for name in ids) else None

    def all(self, candidate: Candidate) -> tuple[Passage, ...]:
        """Return every passage of a release, in the order of the index.

        Raises:
            ArtifactError: the index is missing or altered.
        """
        return tuple(self._by_id(candidate).values())

    def _by_id(self, candidate: Candidate) -> dict[str, Passage]:
        artifact = candidate.artifact("index")
        if artifact is None:
            return {}
        known = self._kept.get(artifact.digest)
        if known is None:
            found = unpack(self._artifacts.get(artifact.digest)).passages
            known = self._kept[artifact.digest] = {passage.id: passage for passage in found}
            while len(self._kept) > _KEPT_INDEXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(artifact.digest)
        return known


def rests_on_passages(record: Record) -> bool:
    """Claim that an answer says something that its passages should support."""
    if record.status >= _NOT_ANSWERED or record.flags & _NOT_CLAIMED or not passages_of(record):
        return False
    return told(record).finish not in REFUSED_FINISHES


def grounded(record: Record, candidate: Candidate, passages: Passages) -> Groundedness | None:
    """Hold an answer's claims against the passages it was given; None where its text or they are not kept.

    By words alone: nearness in meaning would need the embedding model in control, and finds support where the
    words give none only for claims that say a thing in other words. The share is therefore the stricter one.

    Raises:
        ArtifactError: the index is missing or altered.
    """
    text = record.outputs[0] if record.outputs else None
    found = passages.of(candidate, passages_of(record))
    if not isinstance(text, str) or found is None:
        return None
    return support(text, [Hit(one.id, one.source, one.text, 0.0, 0.0, None, one.trail) for one in found])


def fold_grounded(bucket: GroundedBucket, judged: Groundedness | None) -> None:
    """Add one sampled answer."""
    if judged is None:
        bucket.unread += 1
        return
    claims, held = len(judged.claims), sum(one.is_supported for one in judged.claims)
    if not claims:
        return
    bucket.answers += 1
    bucket.claims += claims
    bucket.supported += held
    bucket.claims_squares += claims * claims
    bucket.supported_squares += held * held
    bucket.products += claims * held
