"""Alembic's folder: ``versions`` holds the history of the schema, oldest first."""
