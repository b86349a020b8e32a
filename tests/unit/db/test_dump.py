"""Which files are dumps, of which version, and what their digest is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.db.dump import CHUNK, Dump, dump_digest, read_dump
from harness.errors import UsageError

PLAIN = """--
-- PostgreSQL database dump
--

-- Dumped from database version 16.4 (Debian 16.4-1.pgdg120+1)
-- Dumped by pg_dump version 17.2

CREATE TABLE t (x text);
COPY t (x) FROM stdin;
\\\\connect is data here
\\.
"""


def a_file(folder: Path, content: bytes | str) -> Path:
    path = folder / "shop.dump"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_sql_tells_its_versions(tmp_path: Path) -> None:
    path = a_file(tmp_path, PLAIN)
    assert read_dump(path) == Dump(path, archive=False, database=16, program=17)


def test_sql_that_pg_dump_did_not_write_has_no_version(tmp_path: Path) -> None:
    path = a_file(tmp_path, "CREATE TABLE t (x text);")
    assert read_dump(path) == Dump(path, archive=False)


@pytest.mark.parametrize("head", [b"PGDMP\x01\x10\x00", b"toc.dat".ljust(257, b"\0") + b"ustar\x00"])
def test_archives_are_known_by_their_head(tmp_path: Path, head: bytes) -> None:
    assert read_dump(a_file(tmp_path, head + b"\0" * 600)).archive


def test_a_folder_with_a_table_of_contents_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "toc.dat").write_bytes(b"PGDMP")
    assert read_dump(tmp_path).archive


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no dump of PostgreSQL: it is empty"),
        (b"  \n", "is no dump of PostgreSQL: it is empty"),
        (b"\x7fELF\x00\x00", "is no dump of PostgreSQL: it is binary"),
        (b"\x1f\x8b\x08rest", "is compressed as a whole"),
        (b"\x28\xb5\x2f\xfdrest", "is compressed as a whole"),
    ],
)
def test_what_is_no_dump_is_refused_with_a_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        read_dump(a_file(tmp_path, content))
    assert refused.value.remedy


def test_an_absent_file_and_another_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_dump(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"it has no toc\.dat"):
        read_dump(tmp_path)


@pytest.mark.parametrize(
    "line", ["\\connect other", "\\c other", "CREATE DATABASE other;", "DROP DATABASE other;"]
)
@pytest.mark.parametrize("before", ["", "-- a line\n" * (CHUNK // 10)])
def test_sql_that_would_run_elsewhere_is_refused(tmp_path: Path, line: str, before: str) -> None:
    dump = read_dump(a_file(tmp_path, f"{before}SELECT 1;\n{line}\nDROP TABLE t;\n"))
    with pytest.raises(UsageError, match="leaves the database it is given") as refused:
        dump_digest(dump)
    assert line.replace("\\", "\\\\") in refused.value.message


@pytest.mark.parametrize(
    "line",
    [
        "create database other;",
        "  \\c other",
        "SELECT 1; \\connect other",
        "\\c",
        "BEGIN; drop  database other;",
        "/* why */ Create Database other;",
        "CREATE\nDATABASE other;",
        "\\echo one \\\\ \\c other",
    ],
)
def test_it_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    dump = read_dump(a_file(tmp_path, f"{PLAIN}{line}\n"))
    with pytest.raises(UsageError, match="leaves the database it is given"):
        dump_digest(dump)


TABLE = """COPY public.notes (id, "from", x) FROM stdin;
1\tone\tSELECT 1; \\connect other
create database other;
\\c other
--
\\.
"""


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("COPY", "copy").replace("FROM stdin", "from STDIN WITH (FORMAT text)"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\\.\n", ""),
        "-- then \\connect other\n  -- DROP DATABASE other;\n",
        "SELECT 1;" + "\n" * (CHUNK // 8),
        "\\C 'a title'\n\\copyright\n\\cd /tmp\n",
        "INSERT INTO notes VALUES ('they drop database dumps');\n",
    ],
)
def test_what_stays_in_its_database_is_read_to_the_end(tmp_path: Path, text: str) -> None:
    assert len(dump_digest(read_dump(a_file(tmp_path, text)))) == 64
    many = "COPY t (x) FROM stdin;\n" + "\\c x\n" * (CHUNK // 4) + "\\.\n"
    assert len(dump_digest(read_dump(a_file(tmp_path, many + text)))) == 64


def test_what_follows_the_data_of_a_table_is_read_again(tmp_path: Path) -> None:
    for before in (TABLE, TABLE.replace("\n", "\r\n"), TABLE * (CHUNK // len(TABLE) + 1)):
        with pytest.raises(UsageError, match="leaves the database it is given"):
            dump_digest(read_dump(a_file(tmp_path, before + "\\connect other\n")))


def test_data_that_looks_like_a_command_is_data(tmp_path: Path) -> None:
    assert len(dump_digest(read_dump(a_file(tmp_path, PLAIN)))) == 64


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    first = dump_digest(read_dump(a_file(tmp_path, PLAIN)))
    assert dump_digest(read_dump(a_file(tmp_path, PLAIN))) == first
    assert dump_digest(read_dump(a_file(tmp_path, PLAIN + "\n"))) != first


def test_the_digest_of_a_folder_is_of_its_files_and_their_names(tmp_path: Path) -> None:
    (tmp_path / "toc.dat").write_bytes(b"PGDMP")
    (tmp_path / "1.dat").write_bytes(b"rows")
    first = dump_digest(read_dump(tmp_path))
    (tmp_path / "1.dat").rename(tmp_path / "2.dat")
    assert dump_digest(read_dump(tmp_path)) != first
