"""The catalogue of known answers: small revisions, bad forms and good ones, and what each is known to do.

One by hand, on an embedded server or an empty database of one's own:

    harness trace --alembic-config tests/catalogue/alembic.ini --upgrade create_index_bad
    MUL_DATABASE_URL=postgresql://… alembic -c tests/catalogue/alembic.ini upgrade create_index_bad

All of them on every version of PostgreSQL, alone and under load:

    pytest tests/catalogue --postgres 14,15,16,17,18

The versions are downloaded as wheels on first use (`tests/postgres_versions.py`).
"""
