"""Which dumps a server cannot take, and when a restore has brought all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.db.dump import Dump
from harness.db.restore import _restored, check_versions
from harness.errors import UsageError

HARMLESS = """pg_restore: connecting to database for restore
pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
pg_restore: creating TABLE "public.t"
"""
"""What pg_restore 17 says on a server of 16."""

ENDED = "pg_restore: warning: errors ignored on restore: 1\n"
ARCHIVE, SQL = Dump(Path("d"), archive=True), Dump(Path("d"), archive=False)


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        (
            Dump(Path("d"), archive=True, database=17),
            "comes from a server of PostgreSQL 17, but the server is",
        ),
        (
            Dump(Path("d"), archive=False, database=16, program=17),
            "was written by pg_dump 17, but the server",
        ),
    ],
)
def test_a_newer_dump_is_refused_with_both_versions(dump: Dump, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        check_versions(dump, 160004)
    assert "PostgreSQL 16" in str(refused.value)


@pytest.mark.parametrize(
    "dump",
    [
        Dump(Path("d"), archive=True, database=16, program=18),
        Dump(Path("d"), archive=False, database=14, program=16),
        Dump(Path("d"), archive=False),
    ],
)
def test_what_the_server_can_know_passes(dump: Dump) -> None:
    check_versions(dump, 160004)


@pytest.mark.parametrize(("returncode", "said"), [(0, ""), (1, HARMLESS + ENDED)])
def test_a_setting_that_an_older_server_does_not_know_is_no_failure(returncode: int, said: str) -> None:
    assert _restored(ARCHIVE, returncode, said)


@pytest.mark.parametrize(
    ("dump", "returncode", "said"),
    [
        pytest.param(ARCHIVE, -9, HARMLESS, id="killed"),
        pytest.param(ARCHIVE, 1, HARMLESS + "out of memory\n", id="gave up"),
        pytest.param(
            ARCHIVE,
            1,
            HARMLESS + "pg_restore: error: could not read from input file: end of file\n" + ENDED,
            id="an error besides",
        ),
        pytest.param(ARCHIVE, 1, "pg_restore: warning: errors ignored on restore: 1\n", id="another error"),
        pytest.param(
            SQL,
            3,
            'psql:<stdin>:1: ERROR:  unrecognized configuration parameter "transaction_timeout"\n',
            id="psql stopped there",
        ),
        pytest.param(SQL, 1, HARMLESS + ENDED, id="no archive"),
    ],
)
def test_a_restore_that_failed_is_none_whatever_harmless_was_said(
    dump: Dump, returncode: int, said: str
) -> None:
    assert not _restored(dump, returncode, said)
