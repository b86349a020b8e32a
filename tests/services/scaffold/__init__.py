"""A service as it is commonly scaffolded with FastAPI, SQLAlchemy and Alembic: foreign to the harness.

DATABASE_URL=postgresql://… alembic -c tests/services/scaffold/alembic.ini upgrade released
DATABASE_URL=postgresql://… uvicorn --app-dir tests/services/scaffold main:app
"""
