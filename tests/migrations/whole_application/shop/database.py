"""The application's engine, with settings of its own for every connection."""

import os

from sqlalchemy import create_engine, event

engine = create_engine(os.environ["DATABASE_URL"], pool_size=2, pool_pre_ping=True)


@event.listens_for(engine, "connect")
def configure(connection, _record):
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '20s'")
    connection.commit()


@event.listens_for(engine, "before_cursor_execute", retval=True)
def comment(_connection, _cursor, statement, parameters, _context, _many):
    return f"{statement} /* shop */", parameters
