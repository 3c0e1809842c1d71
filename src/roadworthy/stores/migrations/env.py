"""What Alembic executes to run migrations; the connection comes from `run.migrate`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
