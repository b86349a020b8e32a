"""A database that is made anew for every run, as a copy of a template beside it.

Of `shop` there may be three on the server, and after an interruption at any point the next run knows what
each is:

| database | is |
|---|---|
| `shop` | what the service uses; without a template it is in the making and is made anew |
| `shop_mul_template` | the starting point. Its comment says what it was made from; nobody may connect |
| `shop_mul_new` | a copy in the making: dropped, or where `shop` is gone already, renamed to it |

Owner, grants, connection limit and settings of the database (`ALTER DATABASE … SET`) go with every copy,
which `CREATE DATABASE … TEMPLATE` by itself does not do
(https://www.postgresql.org/docs/current/manage-ag-templatedbs.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from harness.clock import Sleep, wait_until
from harness.db.guard import connect, identify
from harness.db.pooling import set_if_direct
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, SetupError, UsageError

__all__ = ["MAINTENANCE", "SYSTEM", "Recreated", "check_recreatable", "maintenance"]

SYSTEM = ("postgres", "template0", "template1")
"""Databases that are no service's."""

MAINTENANCE = ("postgres", "template1")
"""Where one connects to while another database is dropped, in the order in which they are tried."""

_TEMPLATE, _NEW = "_mul_template", "_mul_new"
_LONGEST = 63 - len(_TEMPLATE)
"""Bytes of a name: PostgreSQL cuts off what exceeds 63 (https://www.postgresql.org/docs/current/limits.html)."""

_MARK = "migrate-under-load starting point"
_UNFINISHED = "migrate-under-load copy in the making"
_FREE_WITHIN_S = 10.0
_FILE_COPY_SINCE = 150_000

_DATABASE: LiteralString = """
    SELECT to_jsonb(d) AS row, pg_get_userbyid(datdba) AS owner, spcname AS tablespace,
        pg_encoding_to_char(encoding) AS encoding_name, shobj_description(d.oid, 'pg_database') AS comment
    FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = %s
"""
_SETTINGS: LiteralString = """
    SELECT rolname, unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
        LEFT JOIN pg_roles r ON r.oid = setrole WHERE datname = %s
"""
_GRANTS: LiteralString = """
    SELECT CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END, privilege_type, is_grantable
    FROM pg_database, aclexplode(datacl) WHERE datname = %s
"""
_END_SESSIONS: LiteralString = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL
"""
"""Not those of autovacuum, which are nobody's: only a superuser may end them, and RENAME does so by itself.
`backend_type` would not tell: it is null to a role that may end a session but not read all of its statistics.
"""

Row = dict[str, Any]


def check_recreatable(url: DatabaseUrl, allow_databases: tuple[str, ...]) -> None:
    """Refuse to drop what was not named, or what no service uses. What says *prod* the guard has refused."""
    name = url.resolved().dbname
    if name in SYSTEM:
        raise UsageError(
            f"--recreate-database would drop {name}, which belongs to the server itself.",
            "Give the service a database of its own.",
        )
    if len(name.encode()) > _LONGEST:
        raise UsageError(
            f"--recreate-database: with {_TEMPLATE} after it the name {name} is too long for PostgreSQL.",
            f"Give the database a name of at most {_LONGEST} bytes.",
        )
    if name not in allow_databases:
        raise GuardError(
            f"--recreate-database would drop the database {name} and make it anew.",
            f"If all that is in it may go, add --allow-database {name}.",
        )


def maintenance(url: DatabaseUrl) -> DatabaseUrl:
    """Another database of the same server. Raises SetupError when there is none to connect to."""
    for name in MAINTENANCE:
        other = url.at(name)
        try:
            connect(other, "mul-run looking for a way in").close()
        except SetupError as error:
            problem = error
        else:
            return other
    raise SetupError(
        f"--recreate-database needs a connection to another database of the server. {problem.message}",
        f"Let the role connect to the database {MAINTENANCE[0]}.",
    )


class Recreated:
    """The database `name` and its template, seen from a connection to another one."""

    def __init__(self, name: str, connection: psycopg.Connection) -> None:
        self.name = name
        self.template = name + _TEMPLATE
        self._new = name + _NEW
        self._connection = connection
        set_if_direct(connection, statement_timeout=0, lock_timeout=0)

    def check_leads_here(self, url: DatabaseUrl) -> None:
        """Refuse (GuardError) what would drop another database than the one `url` leads to: of several hosts,
        or behind a pooler, each name may be on another server.
        """
        server = self._one("SELECT system_identifier::text AS id FROM pg_control_system()")["id"]
        try:
            with connect(url, "mul-run looking where the URL leads") as connection:
                led = identify(connection)
        except SetupError:
            if self.connectable():
                raise
            self._check_one_host(url)
            return
        if (led.system_identifier, str(led.database_oid)) != (server, str(self._find(self.name).get("oid"))):
            raise GuardError(
                f"--recreate-database: {url.masked} leads to the database {led.database}, which is not the"
                f" {self.name} that would be dropped: it is on another server, or has another name there.",
                "Give the URL of the one server itself, without a pooler and further hosts.",
            )

    def _check_one_host(self, url: DatabaseUrl) -> None:
        hosts = url.resolved().peers
        if len(hosts) > 1:
            raise GuardError(
                f"--recreate-database: {url.masked} names {len(hosts)} hosts, and {self.name} cannot be"
                " connected to: nobody can tell on which of them it would be dropped and made.",
                "Give the URL of the one server itself.",
            )

    def check_may(self) -> None:
        """Refuse (SetupError, UsageError) before anything is dropped what could not be finished."""
        role = self._one("SELECT rolname, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
        if not (role["rolsuper"] or role["rolcreatedb"]):
            raise SetupError(
                f"--recreate-database: the role {role['rolname']} may not create databases.",
                f'As a superuser: ALTER ROLE "{role["rolname"]}" CREATEDB;',
            )
        for name in (self.name, self.template):
            owner = self._find(name).get("owner")
            if owner is not None and not self._one("SELECT pg_has_role(%s, 'MEMBER') AS may", owner)["may"]:
                raise SetupError(
                    f"--recreate-database: the database {name} belongs to {owner}, not to {role['rolname']}.",
                    f'As a superuser: ALTER DATABASE "{name}" OWNER TO "{role["rolname"]}";',
                )
        if not role["rolsuper"]:
            self._check_may_end_sessions(role["rolname"])
        for name, mark in ((self.template, _MARK), (self._new, _UNFINISHED)):
            found = self._find(name)
            if found and not (found["comment"] or "").startswith(mark):
                raise UsageError(
                    f"--recreate-database: there is a database {name}, which does not say that the harness"
                    " made it: it is somebody's, or a copy in the making when a run was killed.",
                    f'If nobody needs it: DROP DATABASE "{name}"; else rename it.',
                )

    def _check_may_end_sessions(self, role: str) -> None:
        found = self._connection.execute(
            "SELECT DISTINCT r.rolname FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid"
            " WHERE a.datname = %s AND (r.rolsuper OR NOT (pg_has_role(r.oid, 'USAGE')"
            " OR pg_has_role('pg_signal_backend', 'USAGE'))) ORDER BY 1",
            [self.name],
        ).fetchall()
        if found:
            others = ", ".join(str(name) for (name,) in found)
            raise SetupError(
                f"--recreate-database: {role} may not end the sessions of {others} in {self.name}.",
                f'As a superuser: GRANT pg_signal_backend TO "{role}"; close those of superusers yourself.',
            )

    def made_from(self) -> str | None:
        """What the template was made from; None when there is none."""
        comment = self._find(self.template).get("comment") or ""
        mark, _, made_from = comment.partition(": ")
        return made_from if mark == _MARK else None

    def connectable(self) -> bool:
        """Whether the database is there and may be connected to."""
        found = self._find(self.name)
        return bool(found) and found["datallowconn"] and found["datconnlimit"] != -2

    def size(self) -> int:
        """Bytes of the template."""
        found: int = self._one("SELECT pg_database_size(%s) AS bytes", self.template)["bytes"]
        return found

    def finish(self) -> None:
        """Clear up after a run that was interrupted."""
        with self._explained():
            self._clear_up()

    def _clear_up(self) -> None:
        if self._find(self._new):
            if self._find(self.name):
                self._drop(self._new)
            else:
                self._rename(self._new, self.name)

    def empty(self) -> None:
        """Put an empty database, with all the old one was set to, in its place; the template is dropped."""
        with self._explained():
            old = self._find(self.name)
            self._create("template0", old)
            self._drop(self.template)
            self._swap_in(old)

    def keep(self, made_from: str, sleep: Sleep) -> None:
        """Make what the database is now the template; its sessions end. Until `copy` the database is gone."""
        with self._explained():
            comment = sql.Literal(f"{_MARK}: {made_from}")
            self._run("COMMENT ON DATABASE {} IS {}", self.name, comment)
            try:
                self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name)
                self._rename_used(sleep)
            except BaseException:
                with suppress(psycopg.Error):  # it is renamed already, see `gone`, or the server is away
                    self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)
                raise

    def copy(self) -> None:
        """Put a copy of the template in the place of the database; its sessions end."""
        with self._explained():
            kept = self._find(self.template)
            self._create(self.template, kept)
            self._swap_in(kept)

    def gone(self) -> str | None:
        """Where the database is when only its template is left, as between `keep` and `copy`; else None."""
        if self._find(self.name) or not self._find(self.template):
            return None
        return (
            f"{self.name} is not there now, only its template: the next run copies it, and so does"
            f' CREATE DATABASE "{self.name}" TEMPLATE "{self.template}"'
        )

    # one statement each

    def _create(self, template: str, like: Row) -> None:
        options = [*_options(like), *(_kind(like) if template == "template0" else ())]
        if template != "template0" and self._connection.info.server_version >= _FILE_COPY_SINCE:
            options.append(sql.SQL("STRATEGY file_copy"))  # all is written when it ends, none in the baseline
        words = sql.SQL(" ").join(options)
        self._run("CREATE DATABASE {} TEMPLATE {} {}", self._new, sql.Identifier(template), words)
        self._run("COMMENT ON DATABASE {} IS {}", self._new, sql.Literal(_UNFINISHED))

    def _swap_in(self, like: Row) -> None:
        """Nothing is dropped before the new one is ready, so what cannot be done costs nothing."""
        if like:
            self._settings(like["datname"])
            self._grants(like)
        self._drop(self.name)
        self._rename(self._new, self.name)
        self._run("COMMENT ON DATABASE {} IS NULL", self.name)

    def _settings(self, source: str) -> None:
        """`FROM CURRENT` takes a value as it is: lists such as search_path need no quoting of ours."""
        for role, setting in self._connection.execute(_SETTINGS, [source]).fetchall():
            name, _, value = str(setting).partition("=")
            whose = sql.SQL("ALTER DATABASE {}").format(sql.Identifier(self._new))
            if role is not None:
                whose = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(
                    sql.Identifier(role), sql.Identifier(self._new)
                )
            with self._connection.transaction():
                self._connection.execute("SELECT set_config(%s, %s, true)", [name, value])
                self._connection.execute(
                    sql.SQL("{} SET {} FROM CURRENT").format(whose, sql.Identifier(*name.split(".")))
                )

    def _grants(self, like: Row) -> None:
        if like["datacl"] is None:
            return
        self._run("REVOKE ALL ON DATABASE {} FROM PUBLIC", self._new)
        for grantee, privilege, grantable in self._connection.execute(_GRANTS, [like["datname"]]).fetchall():
            self._run(
                f"GRANT {privilege} ON DATABASE {{}} TO {{}}{' WITH GRANT OPTION' if grantable else ''}",
                self._new,
                sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
            )

    def _drop(self, name: str) -> None:
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _rename(self, name: str, to: str) -> None:
        self._run("ALTER DATABASE {} RENAME TO {}", name, sql.Identifier(to))

    def _rename_used(self, sleep: Sleep) -> None:
        """Sessions need a moment to end after they were told to."""
        problem: psycopg.Error | None = None

        def renamed() -> bool:
            nonlocal problem
            self._connection.execute(_END_SESSIONS, [self.name])
            try:
                self._rename(self.name, self.template)
            except errors.ObjectInUse as error:
                problem = error
                return False
            return True

        if not wait_until(renamed, _FREE_WITHIN_S, sleep, every=0.1) and problem is not None:
            raise problem

    def _run(self, statement: LiteralString, name: str, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(sql.Identifier(name), *parts))

    def _find(self, name: str) -> Row:
        return self._row(_DATABASE, name) or {}

    def _one(self, query: LiteralString, *values: str) -> Row:
        found = self._row(query, *values)
        if found is None:
            raise SetupError("--recreate-database: the server told nothing.", "Try again.")
        return found

    def _row(self, query: LiteralString, *values: str) -> Row | None:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(query, values).fetchone()
        return found and {**found.pop("row", {}), **found}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            with suppress(psycopg.Error):  # what cannot be cleared up now the next run does
                self._clear_up()
            if not isinstance(error, psycopg.Error):
                raise
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise SetupError(
                f"--recreate-database: {self.name} could not be made anew: {reason}.",
                "Mend that and run again; an unfinished copy is cleared up then.",
            ) from None


def _options(like: Row) -> list[sql.Composable]:
    if not like:
        return []
    options: list[sql.Composable] = [sql.SQL("OWNER {}").format(sql.Identifier(like["owner"]))]
    if like["datconnlimit"] >= 0:
        options.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(like["datconnlimit"])))
    return options


def _kind(like: Row) -> list[sql.Composable]:
    """What a copy has from its template: tablespace, encoding, collation.

    Locale providers came with 15, `datlocale` with 17 (before: `daticulocale`).
    """
    if not like:
        return []
    wanted: dict[LiteralString, str | None] = {
        "ENCODING": like["encoding_name"],
        "LC_COLLATE": like["datcollate"],
        "LC_CTYPE": like["datctype"],
    }
    locale = like.get("datlocale") or like.get("daticulocale")
    match like.get("datlocprovider"):
        case "i":
            wanted |= {"LOCALE_PROVIDER": "icu", "ICU_LOCALE": locale, "ICU_RULES": like.get("daticurules")}
        case "b":
            wanted |= {"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": locale}
        case "c":
            wanted |= {"LOCALE_PROVIDER": "libc"}
    kind: list[sql.Composable] = [
        sql.SQL(option + " {}").format(sql.Literal(value))
        for option, value in wanted.items()
        if value is not None
    ]
    if like["tablespace"] != "pg_default":  # to name that one takes a privilege, too
        kind.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(like["tablespace"])))
    return kind
