"""Admission by force: a person makes a candidate a release that its gates refused, and the ledger names them."""

from __future__ import annotations

from roadworthy.domain.candidate import Candidate, Run
from roadworthy.domain.digest import Digest
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.domain.release import Release
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle import present
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc


def find_or_admit(
    plane: Plane,
    known: dict[Digest, Release],
    system: str,
    text: str,
    actor: Actor,
    reason: str,
    *,
    force: bool,
) -> tuple[Release, list[Decide]]:
    """Find a release; with force also a candidate that its gates refused, admitted here by a person's word.

    Returns the release and what must be decided for it to be one.

    Raises:
        NotFoundError: nothing has this name.
    """
    try:
        return present.find_release(known, text, system), []
    except NotFoundError:
        candidate = _candidate(plane, system, text) if force else None
        if candidate is None:
            raise
    release = Release(
        id=candidate.id,
        system=system,
        number=1 + max((release.number for release in known.values()), default=0),
        candidate=candidate,
        policy=present.policy_digest(plane, system),
        run=_run_of(plane, system, candidate.id),
        admitted_at=plane.clock.now(),
        admitted_by=actor.principal,
        verdicts=_verdicts_of(plane, system, candidate.id),
        forced_by=actor.principal,
    )
    admitted = Decide(
        kind="release.admitted",
        system=system,
        noun=Noun.RELEASE,
        subject=release.id,
        after=to_doc(release),
        actor=actor,
        reason=reason,
        expected=0,
    )
    return release, [admitted]


def _candidate(plane: Plane, system: str, text: str) -> Candidate | None:
    """Find a candidate by digest or its first digits; `candidate` is the newest one that is no baseline."""
    states = plane.ledger.states(Noun.CANDIDATE, system)
    found = [from_doc(Candidate, document) for document in states.values()]
    rivals = [candidate for candidate in found if not candidate.is_baseline]
    if text in ("candidate", f"{system}@candidate"):
        return rivals[-1] if rivals else None
    digits = text.removeprefix("sha256:")
    named = [one for one in rivals if len(digits) >= 6 and one.id.removeprefix("sha256:").startswith(digits)]  # noqa: PLR2004
    return named[0] if len(named) == 1 else None


def _run_of(plane: Plane, system: str, candidate: Digest) -> str:
    runs = [from_doc(Run, document) for document in plane.ledger.states(Noun.RUN, system).values()]
    return next((run.id for run in reversed(runs) if run.candidate == candidate), "")


def _verdicts_of(plane: Plane, system: str, candidate: Digest) -> tuple[str, ...]:
    return tuple(name for name in plane.ledger.states(Noun.VERDICT, system) if name.startswith(f"{candidate}/"))
