"""Runs migrations on the connection that `Database.migrate` hands over."""

from alembic import context

from studio.store.models import Table

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Table.metadata, render_as_batch=True)
context.run_migrations()
