"""What control leases to workers from budgets: purses and leases, in picounits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    """Add the tables of budgets; nothing that was there changes."""
    op.create_table(
        "purse",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *_texts("system", "environment", "budget", "who"),
        *_numbers("period_start"),
        *_texts("currency"),
        *_numbers("cap", "settled", "turned_away", "closed"),
        sqlite_with_rowid=False,
    )
    op.create_index("purse_open", "purse", ["closed", "system", "period_start"])
    op.create_table(
        "purse_lease",
        sa.Column("purse", sa.Text, primary_key=True, nullable=False),
        sa.Column("wallet", sa.Text, primary_key=True, nullable=False),
        *_numbers("granted", "returned", "closed"),
        sqlite_with_rowid=False,
    )
