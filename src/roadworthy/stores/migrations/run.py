"""Run the migrations on an open connection."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def configuration() -> Config:
    """Return Alembic's configuration; there is no ini file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def migrate(connection: sa.Connection, to: str) -> None:
    """Bring the schema to a revision; a crash half way leaves the old one, since all runs in one transaction."""
    config = configuration()
    config.attributes["connection"] = connection
    with connection.begin():
        command.upgrade(config, to)


def newest() -> str:
    """Return the newest revision that has a file; `metadata.HEAD` must name it."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""
