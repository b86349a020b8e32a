"""The application, which Alembic imports to find its migrations."""
