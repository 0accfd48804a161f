"""Runs migrations on the connection that ``schema.migrate`` holds, in its transaction."""

from alembic import context

from gateway.adapters.store_sql.every_table import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
