"""Decisions and what surrounds them: ledger, projections, leases, people, deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, *, key: bool = False, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=null)


def _whole(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


def upgrade() -> None:
    """Create the tables that the first version kept."""
    op.create_table(
        "ledger",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        _whole("at"),
        *(_text(name) for name in ("kind", "system", "environment", "noun", "subject", "actor", "assurance", "reason")),
        _text("before", null=True),
        _text("after", null=True),
        *(_text(name) for name in ("key", "previous", "hash")),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("ledger_key", "ledger", ["key"], unique=True, sqlite_where=sa.text("key != ''"))
    op.create_index("ledger_system", "ledger", ["system", "seq"])
    op.create_index("ledger_at", "ledger", ["at"])
    op.create_table(
        "projection",
        _text("noun", key=True),
        _text("subject", key=True),
        _text("system"),
        sa.Column("seq", sa.Integer, nullable=False),
        _text("state", null=True),
        sqlite_with_rowid=False,
    )
    op.create_index("projection_order", "projection", ["noun", "seq"])
    op.create_table(
        "lease",
        _text("name", key=True),
        _text("holder"),
        sa.Column("epoch", sa.Integer, nullable=False),
        _whole("expires_at"),
        sqlite_with_rowid=False,
    )
    op.create_table("person", _text("principal", key=True), _text("name"), _text("contact"), sqlite_with_rowid=False)
    op.create_table(
        "delivery",
        *(_text(name, key=name == "key") for name in ("key", "kind", "system", "document", "state")),
        sa.Column("attempts", sa.Integer, nullable=False),
        _whole("intended_at"),
        _whole("due_at"),
        _whole("finished_at", null=True),
        _text("error"),
        sqlite_with_rowid=False,
    )
    op.create_index("delivery_due", "delivery", ["finished_at", "due_at"])
    op.create_index("delivery_system", "delivery", ["system", "intended_at"])
