"""migrate-under-load: run a real Alembic migration under real load, and judge whether it is safe."""

__version__ = "0.1.0"
