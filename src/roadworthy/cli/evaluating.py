"""Commands that judge language models: approved wordings, and recorded traffic put to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from roadworthy.cli import context
from roadworthy.cli.app import PROJECT, app
from roadworthy.cli.reply import Reply, after, lines, table
from roadworthy.cli.traffic import Reason, System
from roadworthy.domain.digest import short
from roadworthy.domain.principal import Scope

if TYPE_CHECKING:
    from roadworthy.domain.reference import Figure

snapshots = App(name="snapshots", help="Approved wordings that the gate `snapshots` holds answers to.", group=PROJECT)
app.command(snapshots)


@snapshots.command(name="show")
def show_snapshots(*, system: System = "") -> Reply:
    """Show what changed between the approved wordings and the newest answers that the gate saw."""
    from roadworthy.gates.snapshots import word_diff
    from roadworthy.lifecycle.wordings import pending, wordings

    plane, name = context.plane(), context.system_name(system)
    candidate, answers = pending(plane, name)
    known = wordings(plane, name)
    changed = {case: text for case, text in answers.items() if known.get(case) != text}
    diffs = {case: word_diff(known.get(case, ""), text) for case, text in changed.items()}
    data = {
        "system": name,
        "candidate": candidate,
        "before": {one: known.get(one) for one in changed},
        "after": changed,
    }
    head = f"candidate {short(candidate)}: {len(changed)} of {len(answers)} answers are not in their approved wording"
    return Reply(data=data, show=after(lines(head), lines(*(f"{case}: {diff}" for case, diff in diffs.items()))))


@snapshots.command(name="approve")
def approve_snapshots(
    *cases: Annotated[str, Parameter(help="cases, such as manual/gate; default: all")],
    system: System = "",
    reason: Reason = "",
) -> Reply:
    """Approve the newest answers that the gate saw as wordings to keep. One entry in the ledger."""
    from roadworthy.lifecycle.wordings import approve_wordings

    plane, name = context.plane(), context.system_name(system)
    actor = context.actor(Scope.APPROVE, name)
    done = approve_wordings(plane, name, actor, cases=cases, reason=reason)
    said = f"{len(done.after)} wordings approved, {done.kept} in force; next: roadworthy release"
    return Reply(data=done, show=lines(said if done.changed else "nothing changed: these wordings are in force"))


@app.command(group=PROJECT)
def replay(
    *,
    against: Annotated[str, Parameter(help="candidate, a release such as v2, or a pin of the manifest")],
    last: Annotated[int, Parameter(help="how many recorded answers")] = 200,
    environment: Annotated[str, Parameter(help="whose traffic")] = "live",
) -> Reply:
    """Put recorded questions to another prompt, release or model; show quality, cost and time side by side."""
    from roadworthy.lifecycle.replay import replay as verb
    from roadworthy.wiring.judges import judges_for
    from roadworthy.wiring.llm_trial import ask_cases

    plane, system = context.plane(), context.manifest()
    done = verb(
        plane, context.folder(), system, against, context.actor(system=system.name), ask=ask_cases,
        scorer_for=judges_for, last=last, environment=environment,
    )  # fmt: skip
    recorded, other, n = done.recorded, done.other, done.n
    rows = [
        ("score", _spelled(recorded.score), _spelled(other.score), _interval(done.score, 1, "{:+.3f}")),
        (
            "micro-units an answer",
            f"{recorded.cost_picos / n / 1e6:,.2f}",
            f"{other.cost_picos / n / 1e6:,.2f}",
            _interval(done.cost_picos, 1e-6, "{:+,.2f}"),
        ),
        ("ms (p50)", f"{recorded.p50_ms:,.0f}", f"{other.p50_ms:,.0f}", _interval(done.latency_ms, 1, "{:+,.0f}")),
        ("unanswered", recorded.unanswered, other.unanswered, ""),
    ]
    head = f"{done.system}: {n} recorded questions put to {other.who}; the texts are {done.likeness:.0%} alike"
    if done.skipped:
        head += f"; {done.skipped} records hold no text"
    return Reply(data=done, show=after(lines(head), table(("", "recorded", other.who, "difference"), rows)))


def _spelled(score: Figure | None) -> str:
    return "-" if score is None else f"{score.value:.3f}"


def _interval(found: Figure | None, scale: float, form: str) -> str:
    if found is None:
        return "-"
    value, low, high = (form.format(one * scale) for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"
