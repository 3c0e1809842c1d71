"""What to do next: the one line that somebody who sees the page for the first time can act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roadworthy.console.views.lights import Kept, Seen
from roadworthy.domain.incident import Incident, IncidentState
from roadworthy.domain.objective import Standing
from roadworthy.domain.rollout import RolloutState
from roadworthy.lifecycle.status import Serving, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """One step. `command` is what to type, `url` where to click; both may be empty. `calm`: nothing is urgent."""

    text: str
    command: str = ""
    url: str = ""
    link: str = ""
    calm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the step is chosen from."""

    status: Status
    seen: Seen | None
    kept: Sequence[Kept]
    paused_by: str


def next_step(case: Case) -> NextStep:
    """Return the most urgent step."""
    return next(_steps(case))


def _steps(case: Case) -> Iterator[NextStep]:
    yield from _for_incidents(case.status.incidents)
    yield from _for_answers(case)
    if case.seen is None:
        text = "Nothing answers yet: release a candidate and promote it."
        yield NextStep(text=text, command="roadworthy release")
        return
    if case.paused_by:
        text = (
            f"Automation is paused by {case.paused_by}: it pages, and does nothing else. Resume it when you are done."
        )
        yield NextStep(text=text, command=f"roadworthy resume --system {case.status.system}", calm=False)
    yield from _for_rollout(case.status)
    if case.status.drill.stale:
        yield NextStep(
            text=f"Drill the failure plan: {case.status.drill.reason.partition(':')[0]}.", command="roadworthy drill"
        )
    yield NextStep(text="Nothing. You will be paged when it does not keep a promise.")


def _for_incidents(incidents: Sequence[Incident]) -> Iterator[NextStep]:
    for one in sorted(incidents, key=lambda one: (one.recovered_at is not None, one.severity, -one.opened_at)):
        url = f"/incidents/{one.id}"
        if one.state is IncidentState.OPEN and one.recovered_at is None:
            text = f"Incident {one.id} is open and nobody has it in hand: acknowledge it, then read what was done."
            yield NextStep(text=text, url=url, link="Open the incident", calm=False)
        elif one.recovered_at is None:
            text = f"{one.acknowledged_by} has incident {one.id} in hand; it has not recovered yet."
            yield NextStep(text=text, url=url, link="Open the incident", calm=False)
        else:
            text = f"Incident {one.id} is over: close it with the test that would have caught it."
            yield NextStep(text=text, url=url, link="Close the incident", calm=False)


def _for_answers(case: Case) -> Iterator[NextStep]:
    system, serving = case.status.system, case.status.serving
    if serving is Serving.STOPPED:
        text = "It answers 503 on purpose. When the cause is mended, let it answer again."
        yield NextStep(text=text, command=f"roadworthy start --system {system}", calm=False)
    if serving is Serving.FALLBACK:
        text = "The fallback answers. Promote a release that is well, or put the champion back in front."
        yield NextStep(text=text, command=f"roadworthy start --system {system}", calm=False)
    if case.status.orphaned:
        text = f"Name another owner in system.yaml: {case.status.owner.principal} is no longer active."
        yield NextStep(text=text, command="roadworthy apply", calm=False)
    for row in case.kept:
        if row.answers and row.standing is Standing.BREACH:
            actions = ", then ".join(row.actions) or "nothing, it is only shown"
            yield NextStep(text=f"{row.objective} is in breach; the failure plan says: {actions}.", calm=False)


def _for_rollout(status: Status) -> Iterator[NextStep]:
    rollout = status.rollout
    if rollout is None or rollout.state in (RolloutState.DONE, RolloutState.ABORTED):
        return
    if rollout.state is RolloutState.PAUSED:
        text = f"The rollout of {rollout.name} is on hold in {rollout.stage}. Let it go on, or roll it back."
        yield NextStep(text=text, command=f"roadworthy resume --rollout --system {status.system}")
        return
    waiting = f" It waits for {rollout.waiting_for}." if rollout.waiting_for else ""
    yield NextStep(text=f"Nothing: {rollout.name} is in {rollout.stage} and moves on by itself.{waiting}")
