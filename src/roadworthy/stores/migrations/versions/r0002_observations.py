"""What observation keeps: the cursor, bucket documents, signals with a short history, watches."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in names]


def _document() -> sa.Column[bytes]:
    return sa.Column("document", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Add the tables of observation; nothing that was there changes."""
    op.create_table("cursor", *_keys("name"), sa.Column("position", sa.Text, nullable=False), sqlite_with_rowid=False)
    op.create_table(
        "bucket",
        *_keys("system", "environment", "release", "kind"),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        _document(),
    )
    op.create_table(
        "signal",
        *_keys("system", "environment", "release", "name"),
        sa.Column("at", sa.BigInteger, nullable=False),
        _document(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signal_history",
        *_keys("system", "environment", "release", "name"),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        _document(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "watch", *_keys("system", "environment", "objective", "release"), _document(), sqlite_with_rowid=False
    )
