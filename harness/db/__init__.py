"""PostgreSQL and Alembic: the library of that name, also where a project's own folder would shadow it."""

from harness.shadowing import import_alembic

import_alembic()
