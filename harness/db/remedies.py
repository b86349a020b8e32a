"""Statements that mend by hand what a migration left, run outside of a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Timer

import psycopg

from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["mend"]


def mend(url: DatabaseUrl, statements: Sequence[str], within_s: float) -> None:
    """Run the statements, each within `within_s`; raises SetupError at the first that fails."""
    try:
        with connect(url, "mul-remedy") as connection:
            for statement in statements:
                with _cancelled_after(within_s, connection):
                    connection.execute(statement.encode())
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(f"The remedy failed: {reason}.") from None


@contextmanager
def _cancelled_after(seconds: float, connection: psycopg.Connection) -> Iterator[None]:
    """Raises SetupError. A statement_timeout would be the session's, and stay behind in a pooler."""
    late = Event()  # not the timer's own, which is set when the cancelling is over, and so after its effect

    def cancel() -> None:
        late.set()
        connection.cancel_safe()

    timer = Timer(seconds, cancel)
    timer.start()
    try:
        yield
    except psycopg.errors.QueryCanceled:
        if late.is_set():
            raise SetupError(f"The remedy did not end within {seconds:g} s.") from None
        raise
    finally:
        timer.cancel()
        timer.join()  # or a cancelling that comes late would meet the next statement
