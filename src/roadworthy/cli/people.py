"""Commands about people: who is here, how they are reached, what they said yes to."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from roadworthy.cli import context
from roadworthy.cli.app import HOME, PROJECT, app
from roadworthy.cli.reply import Reply, lines, table
from roadworthy.cli.traffic import System
from roadworthy.domain.digest import short
from roadworthy.domain.moment import iso
from roadworthy.domain.principal import PrincipalKind, Scope
from roadworthy.errors import NotFoundError

people = App(name="people", help="List who acts and is paged; say who left and who is back.", group=HOME)
app.command(people)

Why = Annotated[str, Parameter(help="why; it is kept in the ledger")]


@people.command(name="list")
def list_people() -> Reply:
    """List the persons and services that the ledger knows, and how each is reached."""
    from roadworthy.lifecycle.keys import principals

    plane = context.plane()
    rows: list[tuple[str, str, str, str]] = []
    for one in principals(plane):
        known = plane.people.get(one.id)
        rows.append((one.id, one.kind, "here" if one.active else "left", known.contact if known else ""))
    data = [dict(zip(("principal", "kind", "state", "contact"), row, strict=True)) for row in rows]
    return Reply(data=data, show=table(("principal", "kind", "state", "contact"), rows, "nobody yet"))


@people.command(name="put")
def put(
    principal: str,
    *,
    name: str | None = None,
    contact: str | None = None,
    kind: PrincipalKind = PrincipalKind.PERSON,
    reason: Why = "",
) -> Reply:
    """Say who a principal is. Name and contact never enter the ledger.

    Args:
        principal: the id that stands in the ledger.
        name: what people call them.
        contact: where pages go.
        kind: person or service.
    """
    from roadworthy.lifecycle.keys import put_principal

    done = put_principal(
        context.plane(), principal, context.actor(), kind=kind, name=name, contact=contact, reason=reason
    )
    return Reply(data=done, show=lines(f"{principal} is known as a {done.kind}"))


@people.command(name="gone")
def gone(principal: str, *, reason: Why = "") -> Reply:
    """Say that someone left: none of their keys opens anything any more, and what they own is shown as orphaned."""
    return _here(principal, reason, active=False)


@people.command(name="back")
def back(principal: str, *, reason: Why = "") -> Reply:
    """Say that someone is here again; keys of theirs that were not revoked work again."""
    return _here(principal, reason, active=True)


@app.command(group=PROJECT)
def approvals(*, system: System = "") -> Reply:
    """List the approvals that stand and the waivers in force."""
    from roadworthy.lifecycle.approve import approvals as given
    from roadworthy.lifecycle.approve import waivers

    plane, name = context.plane(), context.system_name(system)
    yes, exceptions = given(plane, name), waivers(plane, name)
    rows = [("approval", short(one.candidate), one.by, iso(one.at), one.reason) for one in yes]
    rows += [("waiver", one.id, one.by, f"until {iso(one.until)}", one.why) for one in exceptions]
    data = {"approvals": yes, "waivers": exceptions}
    return Reply(data=data, show=table(("what", "of", "by", "when", "why"), rows, "no approvals and no waivers"))


@app.command(group=PROJECT)
def withdraw(what: str, *, reason: Why, system: System = "") -> Reply:
    """Take back an approval of yours, or end a waiver before its date. What was released stays released.

    Args:
        what: a waiver's id as `approvals` lists it, or the digest of the candidate you approved.
    """
    from roadworthy.lifecycle.approve import revoke_approval, revoke_waiver, waivers

    plane, name = context.plane(), context.system_name(system)
    actor = context.actor(Scope.APPROVE, name)
    if any(one.id == what for one in waivers(plane, name)):
        revoke_waiver(plane, name, what, actor=actor, reason=reason)
        return Reply(data={"waiver": what, "ended": True}, show=lines(f"waiver {what} is ended"))
    revoke_approval(plane, name, what, actor=actor, reason=reason)
    return Reply(data={"approval": what, "ended": True}, show=lines(f"your approval of {what} is taken back"))


def _here(principal: str, reason: str, *, active: bool) -> Reply:
    from roadworthy.lifecycle.keys import principal_of, principals, put_principal

    plane = context.plane()
    known = principal_of(plane, principal)
    if known is None:
        raise NotFoundError.among("principal", principal, [one.id for one in principals(plane)])
    done = put_principal(plane, principal, context.actor(), kind=known.kind, active=active, reason=reason)
    return Reply(data=done, show=lines(f"{principal} {'is here' if active else 'left'}"))
