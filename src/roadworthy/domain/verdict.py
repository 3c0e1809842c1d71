"""Verdicts, approvals and waivers: what admits a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros
from roadworthy.domain.principal import Assurance


class VerdictState(StrEnum):
    """Inconclusive is never a pass."""

    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a gate returns: state, reason in one sentence, and the measurements it rests on (JSON values)."""

    state: VerdictState
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement bound to the candidate and the policy revision it was made under, until it expires."""

    gate: str
    candidate: Digest
    policy: Digest
    state: VerdictState
    reason: str
    evidence: Mapping[str, Any]
    at: Micros
    expires_at: Micros
    waiver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A dated, named exception to one gate for one system; `until` is when it ends."""

    id: str
    system: str
    gate: str
    by: str
    why: str
    until: Micros
    at: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's recorded yes to one candidate."""

    system: str
    candidate: Digest
    by: str
    assurance: str
    at: Micros
    reason: str = ""


def under_waivers(verdict: Verdict, waivers: Iterable[Waiver], now: Micros) -> Verdict:
    """Turn a failed or inconclusive verdict into a waived one where a waiver for its gate is in force."""
    if verdict.state in (VerdictState.PASS, VerdictState.WAIVED):
        return verdict
    for waiver in waivers:
        if waiver.gate == verdict.gate and now < waiver.until:
            reason = f"{verdict.reason} — waived by {waiver.by}: {waiver.why}"
            return Verdict(
                gate=verdict.gate,
                candidate=verdict.candidate,
                policy=verdict.policy,
                state=VerdictState.WAIVED,
                reason=reason,
                evidence=verdict.evidence,
                at=verdict.at,
                expires_at=min(verdict.expires_at, waiver.until),
                waiver=waiver.id,
            )
    return verdict


def standing_in_the_way(
    required: Iterable[str], verdicts: Iterable[Verdict], candidate: Digest, policy: Digest, now: Micros
) -> tuple[str, ...]:
    """Say, gate by gate, why a candidate may not be released yet; empty when it may.

    A verdict counts only for this candidate under this policy revision, before it expires.
    """
    newest: dict[str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.at):
        if verdict.candidate == candidate and verdict.policy == policy:
            newest[verdict.gate] = verdict
    return tuple(text for gate in required if (text := _obstacle(gate, newest.get(gate), now)))


def _obstacle(gate: str, verdict: Verdict | None, now: Micros) -> str:
    if verdict is None:
        return f"{gate}: not judged yet"
    if now >= verdict.expires_at:
        return f"{gate}: its verdict has expired"
    if verdict.state in (VerdictState.PASS, VerdictState.WAIVED):
        return ""
    return f"{gate}: {verdict.state} ({verdict.reason})"


def missing_approval(approvals: Iterable[Approval], candidate: Digest) -> str:
    """Say which approval a candidate of tier standard or high lacks; empty when it has one that counts.

    It counts when it was given for this very candidate by someone who had proven who they are.
    """
    given = [approval for approval in approvals if approval.candidate == candidate]
    if any(approval.assurance == Assurance.AUTHENTICATED for approval in given):
        return ""
    if given:
        names = ", ".join(sorted({approval.by for approval in given}))
        return f"approval: {names} approved without proving who they are"
    return "approval: nobody has approved this candidate yet"
