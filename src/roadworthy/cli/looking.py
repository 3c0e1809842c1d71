"""Commands that look and change nothing, and those that answer what one sees: outcomes and incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from roadworthy.cli import context
from roadworthy.cli.app import LOOK, app
from roadworthy.cli.reply import Reply, after, lines, table
from roadworthy.cli.traffic import Environment, System
from roadworthy.domain.moment import MINUTE, iso
from roadworthy.domain.pin import micros

incident = App(name="incident", help="List, show, acknowledge, silence and close incidents.", group=LOOK)
app.command(incident)


@app.command(group=LOOK)
def status(*, system: System = "", environment: Environment = "live") -> Reply:
    """Say how a system is: both lights, the route, the rollout and what it waits for, incidents, the last drill."""
    from roadworthy.cli.status_text import show_status
    from roadworthy.lifecycle.status import status as verb

    found = verb(context.plane(), context.system_name(system), environment)
    return Reply(data=found, show=show_status(found))


@app.command(group=LOOK)
def logs(*, system: System = "", environment: Environment = "live", last: int = 20) -> Reply:
    """Print the newest records: when, which release answered, how fast, what was special."""
    from roadworthy.domain.record import Flag

    plane = context.plane()
    name = context.system_name(system)
    found = plane.records.query(
        "select id, answered_at, release, arm, status, latency_us, flags from records"
        " where system = ? and environment = ? order by id desc limit ?",
        (name, environment, last),
    )
    from roadworthy.lifecycle.present import name_of, releases

    known = releases(plane, name)
    rows = [
        (
            one["id"],
            iso(int(one["answered_at"])),
            name_of(known, str(one["release"])),
            one["arm"],
            one["status"],
            f"{int(one['latency_us']) / 1000:.1f} ms",
            " ".join(flag.name.lower() for flag in Flag if flag & int(one["flags"]) and flag.name),
        )
        for one in found
    ]
    return Reply(
        data=found,
        show=table(("record", "answered", "release", "arm", "status", "took", "special"), rows, "no records yet"),
    )


@app.command(group=LOOK)
def budget(*, system: System = "", past: bool = False) -> Reply:
    """Say what is spent of each budget in its present period: what workers hold as leases, what is settled.

    Args:
        past: also those whose period is over.
    """
    from roadworthy.lifecycle.budgets import purses

    found = purses(context.plane(), context.system_name(system), past=past)
    rows = [
        (
            one.purse.environment,
            one.purse.budget,
            one.purse.who or "-",
            iso(one.purse.period_start)[:16],
            _money(one.limit, one.currency),
            _money(one.spent, one.currency),
            f"{one.share:.0%}",
            _money(one.leased, one.currency),
            "over" if one.closed else "turned away" if one.turned_away else "",
        )
        for one in found
    ]
    titles = ("environment", "budget", "who", "since", "limit", "spent", "share", "leased", "state")
    return Reply(data=found, show=table(titles, rows, "no budget was spent from yet"))


def _money(picos: int, currency: str) -> str:
    return f"{micros(picos) / 1_000_000:.4f} {currency}"


@app.command(group=LOOK)
def history(
    *,
    at: Annotated[str, Parameter(help="a moment, like 2026-11-23T09:30:00Z; default now")] = "",
    system: System = "",
    environment: Environment = "live",
) -> Reply:
    """Say which release was in force at a moment, since when, by whose decision, and what changed before."""
    from roadworthy.lifecycle.history import changes, in_force_at

    plane, name = context.plane(), context.system_name(system)
    moment = context.moment(at) if at else plane.clock.now()
    found = in_force_at(plane, name, moment, environment)
    before = changes(plane, name, until=moment, limit=15)
    shares = ", ".join(f"{part.name} {part.role} {part.share:.0%}" for part in found.parts)
    rows = [(iso(one.at), one.kind, one.actor, one.reason) for one in before]
    shown = after(
        lines(f"at {iso(moment)}: {shares}", f"since {iso(found.since)} by {found.actor}: {found.reason}", ""),
        table(("at", "what", "by", "why"), rows),
    )
    return Reply(data={"in_force": found, "changes": before}, show=shown)


@app.command(group=LOOK)
def explain(record: str) -> Reply:
    """Trace one answer back: release, code, data, gates, approver, feature ages, outcome."""
    from roadworthy.cli.status_text import show_explanation
    from roadworthy.lifecycle.explain import explain as verb

    found = verb(context.plane(), record)
    return Reply(data=found, show=show_explanation(found))


@app.command(group=LOOK)
def outcome(
    source: Annotated[Path, Parameter(help="a CSV, JSON lines or Parquet file of outcomes")],
    *,
    system: System = "",
    environment: Environment = "live",
    scorer: str = "label",
) -> Reply:
    """Accept outcomes from a file: columns `record` or `entity` and `event_time`, `value`, optional `known_at`, `key`.

    Args:
        scorer: what the values are: label, kpi, feedback, review.
    """
    from roadworthy.lifecycle.outcomes import accept_file

    name = context.system_name(system)
    actor = context.actor(system=name)
    done = accept_file(context.plane(), source, name, environment=environment, scorer=scorer, actor=actor)
    return Reply(data=done, show=lines(f"{done.accepted} outcomes accepted for {name}"))


@incident.command(name="list")
def list_incidents(
    *, system: str = "", everything: Annotated[bool, Parameter(name="--all", negative="")] = False
) -> Reply:
    """List open incidents, newest first.

    Args:
        system: of one system; default all.
        everything: closed ones too.
    """
    from roadworthy.lifecycle.incidents import incidents as verb

    found = verb(context.plane(), system, everything=everything)
    rows = [(one.id, one.severity, one.state, iso(one.opened_at), one.system, one.title) for one in found]
    return Reply(
        data=found, show=table(("incident", "severity", "state", "opened", "system", "what"), rows, "no incidents")
    )


@incident.command(name="show")
def show_incident(name: str) -> Reply:
    """Tell one incident's story: what broke, what was done, what changed before it."""
    from roadworthy.lifecycle.incidents import incident as verb

    found = verb(context.plane(), name)
    done = [(iso(one.at), one.action, one.outcome, one.detail) for one in found.actions]
    changed = [(iso(one.at), one.kind, one.actor, one.what) for one in found.changed_before]
    shown = after(
        lines(
            f"{found.title}",
            f"{found.severity}, {found.state}, opened {iso(found.opened_at)}, owner {found.owner}",
            f"recovered {iso(found.recovered_at)}" if found.recovered_at else "not recovered",
            f"runbook {found.runbook}" if found.runbook else "no runbook declared (failure.runbook)",
            "",
        ),
        table(("at", "action", "outcome", "detail"), done, "no action taken"),
        lines("", "before it:"),
        table(("at", "what", "by", "detail"), changed),
    )
    return Reply(data=found, show=shown)


@incident.command(name="ack")
def acknowledge(name: str) -> Reply:
    """Say that you are on it."""
    from roadworthy.lifecycle.incidents import acknowledge as verb

    found = verb(context.plane(), name, actor=context.actor())
    return Reply(data=found, show=lines(f"{name} is acknowledged by {context.actor().principal}"))


@incident.command(name="silence")
def silence(name: str, *, minutes: int = 60, reason: str = "") -> Reply:
    """Send no further pages for a while; the failure plan goes on acting."""
    from roadworthy.lifecycle.incidents import silence as verb

    plane = context.plane()
    until = plane.clock.now() + minutes * MINUTE
    found = verb(plane, name, until=until, actor=context.actor(), reason=reason)
    return Reply(data=found, show=lines(f"{name} pages nobody until {iso(until)}"))


@incident.command(name="close")
def close(name: str, *, new_test: str = "", no_test: str = "") -> Reply:
    """Close an incident with the test that would have caught it.

    Args:
        new_test: the test that was added (a path or a sentence).
        no_test: why there is none.
    """
    from roadworthy.lifecycle.incidents import close as verb

    found = verb(context.plane(), name, new_test=new_test, no_test=no_test, actor=context.actor())
    return Reply(data=found, show=lines(f"{name} is closed"))
