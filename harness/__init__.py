"""migrate-under-load: run a real Alembic migration under real load, and judge whether it is safe."""

from harness.shadowing import import_alembic

__version__ = "0.1.0"

import_alembic()
