"""Approved wordings: the texts that the gate `snapshots` holds answers to, and how a person approves new ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from roadworthy.domain.digest import Digest
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.verdict import Verdict
from roadworthy.errors import InputError, NotFoundError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, from_json

GATE: Final = "snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What an approval put in force. `before` and `after` hold the texts that changed, by case."""

    candidate: Digest
    before: Mapping[str, str]
    after: Mapping[str, str]
    kept: int

    @property
    def changed(self) -> bool:
        """Claim that a text is another than before."""
        return bool(self.after)


def wordings(plane: Plane, system: str) -> dict[str, str]:
    """Return the approved texts of a system by case.

    Raises:
        ArtifactError: their bytes are missing or altered.
    """
    state = plane.ledger.state(Noun.WORDING, system)
    return {} if state is None else dict(from_json(plane.artifacts.get(state["artifact"])))


def pending(plane: Plane, system: str) -> tuple[Digest, dict[str, str]]:
    """Return the newest answers that the gate saw, by case, and the candidate that gave them.

    Raises:
        NotFoundError: the gate `snapshots` has not judged a candidate of this system yet.
    """
    judged = [
        from_doc(Verdict, document)
        for name, document in plane.ledger.states(Noun.VERDICT, system).items()
        if name.endswith(f"/{GATE}") and "in_full" in cast("Mapping[str, Any]", document["evidence"])
    ]
    if not judged:
        raise NotFoundError(
            f"the gate '{GATE}' has seen no answers of {system} yet", hint="give cases snapshot: true; roadworthy check"
        )
    newest = judged[-1]
    rows: Any = from_json(plane.artifacts.get(newest.evidence["in_full"]))
    return newest.candidate, {row["case"]: row["text"] for row in rows}


def approve_wordings(
    plane: Plane, system: str, actor: Actor, *, cases: Sequence[str] = (), reason: str = ""
) -> Approved:
    """Put the newest answers in force as approved wordings: those of some cases, or of all. One entry in the ledger.

    Wordings of cases that no suite has any more are dropped when all are approved.

    Raises:
        NotFoundError: no such case, or nothing of this system was judged yet.
        NotPermitted: the actor is no person.
        InputError: no reason is given.
    """
    present.must_be_a_person(plane, actor, "approve wordings")
    if not reason.strip():
        raise InputError("an approval says why", hint='--reason "the new return policy"')
    candidate, answers = pending(plane, system)
    for case in cases:
        if case not in answers:
            raise NotFoundError.among("case with a snapshot", case, answers)
    seq, known = plane.ledger.seq_of(Noun.WORDING, system), wordings(plane, system)
    fresh = {case: answers[case] for case in cases} if cases else answers
    texts = {**(known if cases else {}), **fresh}
    after = {case: text for case, text in fresh.items() if known.get(case) != text}
    done = Approved(
        candidate=candidate, before={case: known[case] for case in after if case in known}, after=after, kept=len(texts)
    )
    if texts == known:
        return done
    content = json.dumps(texts, ensure_ascii=False, sort_keys=True).encode()
    state = {
        "artifact": plane.artifacts.put(content), "candidate": candidate, "cases": len(texts), "changed": sorted(after),
        "by": actor.principal,
    }  # fmt: skip
    decision = Decide(
        kind="wording.approved", system=system, noun=Noun.WORDING, subject=system, after=state, actor=actor,
        reason=reason, expected=seq,
    )  # fmt: skip
    plane.ledger.commit([decision])
    return done
