"""Nothing is sent to another database than those that may be migrated."""

from __future__ import annotations

import os
import sys

from .channel import emit, fail

EXIT_CODE = 3


def expected() -> str | None:
    """`<system_identifier>:<database oid>`, several separated by commas; None when any database will do."""
    return os.environ.get("MUL_EXPECT_DATABASE") or None


def check(found: str, name: str | None = None) -> None:
    """End the process, now and without its clean-up, when `found`, called `name`, is not expected."""
    wanted = expected()
    if wanted is None or found in wanted.split(","):
        return
    emit("wrong_database", expected=wanted, found=found, database=name)
    where = f"{name} {found}" if name else found
    sys.stderr.write(
        "migrate-under-load: stopped before the first statement: a connection goes to database"
        f" {where} (system identifier:oid), which is no guarded database ({wanted})\n"
    )
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def unguarded(where: str, error: BaseException) -> None:
    """Connections made there cannot be checked: a gap in the trace, and too much if a database is
    expected."""
    fail(where, error)
    check("unknown")
