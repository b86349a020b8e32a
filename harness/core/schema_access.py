"""Who may see what, and what a migration changed of it in passing: owners, grants, row-level security."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from harness.core.schema_change import SchemaChange, SchemaFinding
from harness.core.schema_state import SchemaState, TableState

__all__ = ["ACCESS_RULES", "Findings"]

Findings = Iterator[SchemaFinding]


def _changed_owner(change: SchemaChange) -> Findings:
    for old, new in change.tables:
        if old.owner == new.owner:
            continue
        told = f"{new.name} belonged to {old.owner} and belongs to {new.owner} now."
        if new.row_security and not new.force_row_security:
            told += f" Row-level security does not hold for an owner: {new.owner} sees all its rows."
        yield SchemaFinding("changed_owner", new.name, told, remedy=f"{_alter(new)} OWNER TO {old.owner};")


_WORDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}


def _alter(table: TableState) -> str:
    return f"ALTER {_WORDS.get(table.kind, 'TABLE')} {table.name}"


def _lost_grant(change: SchemaChange) -> Findings:
    for old, new in change.tables:
        for role, privileges in _less(_possible(old.acl, new), new.acl, {new.owner}):
            yield _lost(new.name, role, privileges, f"GRANT {privileges} ON {new.name} TO {role};")
    for before, after in change.sequences:
        for role, privileges in [] if after.identity else _less(before.acl, after.acl, set()):
            yield _lost(
                after.name, role, privileges, f"GRANT {privileges} ON SEQUENCE {after.name} TO {role};"
            )


def _lost(relation: str, role: str, privileges: str, remedy: str) -> SchemaFinding:
    return SchemaFinding(
        "lost_grant",
        relation,
        f"{role} had {privileges} on {relation} and has it no more: its statements fail with "
        "permission denied (42501).",
        remedy=remedy,
    )


def _gained_grant(change: SchemaChange) -> Findings:
    for old, new in change.tables:
        for role, privileges in _less(new.acl, old.acl, {old.owner}):
            who = "Everybody (PUBLIC)" if role == "PUBLIC" else role
            yield SchemaFinding(
                "gained_grant",
                new.name,
                f"{who} has {privileges} on {new.name} now, and had not before.",
                remedy=f"REVOKE {privileges} ON {new.name} FROM {role};",
            )


def _possible(acl: Mapping[str, Iterable[str]], table: TableState) -> dict[str, list[str]]:
    """`acl` without the privileges on columns that `table` does not have."""
    columns = {f"({column})" for column in table.columns}
    return {
        role: [one for one in privileges if "(" not in one or one.partition(" ")[2] in columns]
        for role, privileges in acl.items()
    }


def _less(
    had: Mapping[str, Iterable[str]], has: Mapping[str, Iterable[str]], apart_from: set[str]
) -> Iterator[tuple[str, str]]:
    """Each role with the privileges that are in `had` and not in `has`."""
    for role, privileges in had.items():
        gone = sorted(set(privileges) - set(has.get(role, ())))
        if gone and role not in apart_from:
            yield role, ", ".join(gone)


def _row_security_off(change: SchemaChange) -> Findings:
    for old, new in change.stored:
        if old.row_security and not new.row_security:
            yield SchemaFinding(
                "row_security_off",
                new.name,
                f"Row-level security of {new.name} was on and is off: whoever may read it sees all rows.",
                remedy=f"ALTER TABLE {new.name} ENABLE ROW LEVEL SECURITY;",
            )


def _row_security_unforced(change: SchemaChange) -> Findings:
    for old, new in change.stored:
        if old.force_row_security and not new.force_row_security:
            yield SchemaFinding(
                "row_security_unforced",
                new.name,
                f"Row-level security of {new.name} was forced on its owner and is no more: {new.owner} sees "
                "all rows.",
                remedy=f"ALTER TABLE {new.name} FORCE ROW LEVEL SECURITY;",
            )


def _lost_policy(change: SchemaChange) -> Findings:
    for old, new in change.stored:
        for name in sorted(set(old.policies) - set(new.policies)):
            yield SchemaFinding(
                "lost_policy",
                new.name,
                f"The policy {name} of {new.name} is gone. {_without(new)}",
                remedy=f"CREATE POLICY {name} ON {new.name} {old.policies[name]};",
            )


def _without(table: TableState) -> str:
    if not table.row_security:
        return "Its row-level security is off, so nothing restricts the rows."
    left = ", ".join(sorted(table.policies))
    return f"Left are {left}." if left else "With none left, nobody but the owner sees a row."


def _lost_view_option(change: SchemaChange) -> Findings:
    for old, new in change.tables:
        for name, value in _options(old).items() if new.kind == "v" else ():
            if name in _options(new):
                continue
            told = f"The view {new.name} lost its option {name}={value}."
            if name == "security_invoker":
                told += f" It reads with the rights of {new.owner} now, whoever asks."
            remedy = f"ALTER VIEW {new.name} SET ({name} = {value});"
            yield SchemaFinding("lost_view_option", new.name, told, remedy=remedy)


def _options(view: TableState) -> dict[str, str]:
    """Those that are on."""
    pairs = (option.partition("=") for option in view.options)
    return {name: value for name, _, value in pairs if value not in ("false", "off", "no", "0")}


def _row_security_bypassed(change: SchemaChange) -> Findings:
    for view in change.after.tables.values():
        old = change.old(view)
        already = {table.oid for table in _bypassed(old, change.before)} if old else set()
        for table in (found for found in _bypassed(view, change.after) if found.oid not in already):
            yield SchemaFinding(
                "row_security_bypassed",
                view.name,
                f"{view.name} reads {table.name} as {view.owner}, for whom its row-level security does not "
                f"hold: whoever may read {view.name} sees the rows of everybody.",
                remedy=f"REVOKE ALL ON {view.name} FROM <each role the policies restrict>;"
                if view.kind == "m"
                else f"ALTER VIEW {view.name} SET (security_invoker = true);  -- PostgreSQL 15 and later",
            )


def _bypassed(view: TableState, state: SchemaState) -> Iterator[TableState]:
    """The tables whose row-level security does not reach those who read `view`.

    https://www.postgresql.org/docs/current/sql-createview.html#SQL-CREATEVIEW-SECURITY
    """
    if view.kind not in ("v", "m") or "security_invoker" in _options(view):
        return
    for table in (state.tables[name] for name in view.reads if name in state.tables):
        owns = table.owner == view.owner and not table.force_row_security
        if table.row_security and (view.owner_bypasses or owns):
            yield table


def _partition_without_row_security(change: SchemaChange) -> Findings:
    for one in change.after.tables.values():
        old = change.old(one)
        if not _open_partition(one, change.after) or (old and _open_partition(old, change.before)):
            continue
        yield SchemaFinding(
            "partition_without_row_security",
            one.name,
            f"{one.partition_of} has row-level security and its partition {one.name} has none: "
            f"{', '.join(sorted(one.acl))} may use the partition directly, past the policies.",
            remedy=f"ALTER TABLE {one.name} ENABLE ROW LEVEL SECURITY;",
        )


def _open_partition(table: TableState, state: SchemaState) -> bool:
    parent = state.tables.get(table.partition_of or "")
    return bool(parent and parent.row_security and not table.row_security and table.acl)


ACCESS_RULES: tuple[Callable[[SchemaChange], Findings], ...] = (
    _changed_owner,
    _lost_grant,
    _gained_grant,
    _row_security_off,
    _row_security_unforced,
    _lost_policy,
    _lost_view_option,
    _row_security_bypassed,
    _partition_without_row_security,
)
