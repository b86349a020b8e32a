"""a statement that fails in a savepoint, a lock taken by hand, several rows at once"""

import sqlalchemy as sa
from alembic import op

revision = "d4"
down_revision = "c3"


def upgrade():
    connection = op.get_bind()
    savepoint = connection.begin_nested()
    try:
        connection.execute(sa.text("SELECT * FROM nowhere"))
    except sa.exc.ProgrammingError:
        savepoint.rollback()
    op.execute("LOCK TABLE notes IN SHARE ROW EXCLUSIVE MODE")
    connection.execute(sa.text("INSERT INTO notes (body) VALUES (:body)"), [{"body": "a"}, {"body": "b"}])


def downgrade():
    op.execute("DELETE FROM notes WHERE body IN ('a', 'b')")
