"""Migrations of the metadata database, run by Alembic inside one transaction. They never import the live schema."""
