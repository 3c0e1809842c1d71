"""Commands about the home: keys, the ledger, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from roadworthy.cli import context
from roadworthy.cli.app import HOME, app
from roadworthy.cli.reply import Reply, after, lines, table
from roadworthy.domain.digest import short
from roadworthy.domain.moment import DAY, iso
from roadworthy.domain.principal import Key, Scope
from roadworthy.errors import StoreError

keys = App(name="keys", help="Make, list and revoke the keys that callers send.", group=HOME)
ledger = App(name="ledger", help="Read, verify and anchor the account of every decision.", group=HOME)
app.command(keys)
app.command(ledger)


@keys.command(name="create")
def create_key(
    principal: str,
    *,
    scopes: Annotated[tuple[Scope, ...], Parameter(consume_multiple=True)] = (Scope.PREDICT, Scope.OUTCOME),
    systems: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    days: int | None = None,
    team: str = "",
) -> Reply:
    """Make a key for a person or service; its text is shown once.

    Args:
        principal: who will hold it.
        scopes: what it may do: predict outcome read operate approve admin.
        systems: which systems it opens; default all.
        days: after how many days it ends; default never.
        team: whose budget its holder spends from.
    """
    from roadworthy.lifecycle.keys import create_key as verb

    plane = context.plane()
    until = None if days is None else plane.clock.now() + days * DAY
    made = verb(plane, principal, scopes, context.actor(), systems=systems, expires_at=until, team=team)
    data = {"id": made.key.id, "principal": principal, "scopes": list(scopes), "team": team, "key": made.text}
    return Reply(data=data, show=lines(made.text, "Keep it now: only its digest is stored."))


@keys.command(name="list")
def list_keys() -> Reply:
    """List keys, without their secrets."""
    from roadworthy.lifecycle.keys import keys as verb

    found = verb(context.plane())
    rows = [
        (
            one.id,
            one.principal,
            " ".join(one.scopes),
            " ".join(one.systems) or "all",
            _until(one),
        )
        for one in found
    ]
    data = [{"id": one.id, "principal": one.principal, "scopes": one.scopes, "revoked": one.revoked} for one in found]
    return Reply(data=data, show=table(("key", "principal", "scopes", "systems", "until"), rows, "no keys yet"))


@keys.command(name="revoke")
def revoke_key(key: str, *, reason: str = "") -> Reply:
    """End a key now; workers refuse it within a second."""
    from roadworthy.lifecycle.keys import revoke_key as verb

    ended = verb(context.plane(), key, context.actor(), reason=reason)
    return Reply(data={"id": ended.id, "revoked": True}, show=lines(f"key {ended.id} is revoked"))


@ledger.command(name="verify")
def verify_ledger(*, head: Path | None = None) -> Reply:
    """Check every entry; name the first one that was edited, deleted or reordered.

    Args:
        head: a head exported earlier, which proves a truncation.
    """
    from roadworthy.lifecycle.verify_ledger import read_head
    from roadworthy.lifecycle.verify_ledger import verify_ledger as verb

    found = verb(context.plane().ledger, read_head(head) if head else None)
    if not found.holds:
        raise StoreError(f"the ledger does not hold: {found.problem}", hint="restore the newest backup that verifies")
    data = {"entries": found.entries, "head": found.head, "holds": True}
    return Reply(data=data, show=lines(f"the ledger holds: {found.entries} entries, head {short(found.head)}"))


@ledger.command(name="head")
def export_head(*, to: Path | None = None) -> Reply:
    """Print where the ledger ends, or write it to a file that is kept elsewhere.

    Args:
        to: the file to write.
    """
    from roadworthy.lifecycle.verify_ledger import export_head as verb

    plane = context.plane()
    found = plane.ledger.head() if to is None else verb(plane, to)
    return Reply(data=found, show=lines(f"{found.seq} entries, head {found.hash}", f"of home {found.home}"))


@ledger.command(name="show")
def show_ledger(*, system: str = "", last: int = 30) -> Reply:
    """Print the newest decisions: when, what, who, why."""
    events = list(context.plane().ledger.events(system=system))[-last:]
    rows = [
        (one.seq, iso(one.at), one.kind, one.subject[:60], f"{one.actor} ({one.assurance})", one.reason)
        for one in events
    ]
    return Reply(data=events, show=table(("seq", "at", "kind", "subject", "by", "why"), rows))


@app.command(group=HOME)
def backup(target: Path, *, with_secret: bool = False) -> Reply:
    """Write the home into one archive while it works.

    Args:
        target: the file to write.
        with_secret: also keep the secret that keys subject digests; then keep the archive as safe as the home.
    """
    from roadworthy.lifecycle.backup import backup as verb

    made = verb(context.plane(), target, with_secret=with_secret)
    shown = lines(f"{made.path}: {made.files} files, {made.size / 1e6:.1f} MB, ledger up to entry {made.head.seq}")
    return Reply(data={"path": str(made.path), "files": made.files, "bytes": made.size, "head": made.head}, show=shown)


@app.command(group=HOME)
def restore(archive: Path, target: Path) -> Reply:
    """Make a home from a backup in a new place, verified, whole or not at all."""
    from roadworthy.lifecycle.backup import restore as verb

    made = verb(archive, target)
    shown = after(
        lines(f"{target}: {made.files} files; the ledger verifies up to entry {made.head.seq}"),
        lines(f"next: roadworthy up --home {target}"),
    )
    return Reply(data={"home": str(target), "files": made.files, "head": made.head}, show=shown)


@app.command(group=HOME)
def upgrade() -> Reply:
    """Bring the home of an older version to this one; twice is harmless."""
    from roadworthy.stores.home import upgrade as verb

    before, now = verb(context.home_path())
    said = f"the home is at schema {now} already" if before == now else f"the home went from schema {before} to {now}"
    return Reply(data={"before": before, "after": now}, show=lines(said))


def _until(key: Key) -> str:
    if key.revoked:
        return "revoked"
    return iso(key.expires_at) if key.expires_at else "no end"
