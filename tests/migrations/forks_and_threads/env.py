"""Migrates in a thread of a forked process; a second thread reads meanwhile."""

import os
import sys
import threading

from alembic import context
from engines import connected
from sqlalchemy import text


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


def read(connection):
    connection.execute(text("SELECT count(*) FROM pg_class"))


def run():
    threads = [threading.Thread(target=connected, args=(what,)) for what in (migrate, read)]
    for thread in threads:
        thread.start()
        thread.join()


child = os.fork()
if not child:
    run()
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(child, 0)
if status:
    raise SystemExit(1)
