"""Rules about constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core.names import last_part, quoted, same
from harness.core.rule import (
    ACCESS_EXCLUSIVE,
    READS_BLOCKED,
    SHARE,
    SHARE_ROW_EXCLUSIVE,
    WRITES_BLOCKED,
    Case,
    Match,
    Rule,
    asks,
)
from harness.core.rules_columns import add_column_alone, not_null_in_steps
from harness.core.rules_indexes import create_index, drop_index_first
from harness.core.safe_forms import autocommit, execute, own_name, patient, sql_column, sql_table
from harness.core.shape import Action

__all__ = ["RULES"]

_ALTER = "https://www.postgresql.org/docs/current/sql-altertable.html"
_NOTES = f"{_ALTER}#SQL-ALTERTABLE-NOTES"
_UNPROVED = frozenset(["not_valid"])
_READY_MADE = frozenset(["using_index"])
_FILLED = frozenset(("identity", "serial", "stored", "virtual"))
_DEFERRED = re.compile(r"\b(?:not\s+deferrable|deferrable|initially)\b", re.IGNORECASE)
_EXCLUSIVE_VERBS = ("add_column", "drop_column", "alter_type", "set_default", "set_not_null", "add_check")


def _two_steps(action: Action, definition: str, suffix: str) -> str:
    name = quoted(own_name(action, suffix))
    return "\n".join(
        (
            patient(execute(f"ALTER TABLE {sql_table(action)} ADD CONSTRAINT {name} {definition} NOT VALID")),
            "# in another transaction, best in a revision of its own:",
            autocommit(execute(f"ALTER TABLE {sql_table(action)} VALIDATE CONSTRAINT {name}")),
        )
    )


def _check(action: Action) -> str:
    if action.verb == "add_column":
        column = (quoted(last_part(sql_column(action))),)
        check = Action("add_check", action.relation, columns=column, expression=action.expression)
        return f"{add_column_alone(action)}\n{_check(check)}"
    if action.verb == "add_not_null":
        return _two_steps(action, f"NOT NULL {action.columns[0]}", "not_null")
    return _two_steps(action, f"CHECK ({action.expression or 'true'}){_more(action)}", "check")


def _more(action: Action) -> str:
    return f" {action.rest}" if action.rest else ""


def _foreign_key(action: Action) -> str:
    parent = f" ({action.expression})" if action.expression and action.verb == "add_foreign_key" else ""
    listed = ", ".join(action.columns) or "parent_id"
    definition = f"FOREIGN KEY ({listed}) REFERENCES {action.references or 'parent'}{parent}{_more(action)}"
    return _two_steps(action, definition, "fkey")


def _of_new_table(action: Action) -> str:
    return "\n".join(
        (
            "# create the table without the foreign key; then, waiting two seconds at most:",
            _foreign_key(action),
        )
    )


def _validate(action: Action) -> str:
    name = quoted(own_name(action, "check"))
    return "\n".join(
        (
            "# in a transaction of its own, after the one that added the constraint has committed:",
            autocommit(execute(f"ALTER TABLE {sql_table(action)} VALIDATE CONSTRAINT {name}")),
        )
    )


def _key(action: Action) -> str:
    primary = action.verb == "add_primary_key"
    name = own_name(action, "pkey" if primary else "key")
    stored, deferred = _index_and_constraint(action.rest)
    columns = action.columns or ("id",)
    index = Action("create_index", action.relation, name, columns, flags=frozenset(["unique"]), rest=stored)
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    using = f"ADD CONSTRAINT {quoted(name)} {kind} USING INDEX {quoted(name)}{deferred}"
    proof = [not_null_in_steps(Action("set_not_null", action.relation, name)) for name in action.columns]
    return "\n".join(
        (
            *(proof if primary else ()),
            autocommit(drop_index_first(index), create_index(index)),
            patient(execute(f"ALTER TABLE {sql_table(action)} {using}")),
        )
    )


def _index_and_constraint(rest: str | None) -> tuple[str | None, str]:
    """What of a key's text is the index's (INCLUDE, WITH) and what the constraint's (DEFERRABLE)."""
    found = _DEFERRED.search(rest or "")
    at = found.start() if found else len(rest or "")
    index, constraint = (rest or "")[:at].strip(), (rest or "")[at:]
    return index.replace("USING INDEX TABLESPACE", "TABLESPACE") or None, f" {constraint}".rstrip()


def _exclude(action: Action) -> str:
    return "\n".join(
        (
            "# there is no way to add one beside writes: create a table that has the constraint, fill it",
            "# in batches while a trigger keeps it, and swap the names; or choose a quiet hour:",
            patient(
                execute(
                    f"ALTER TABLE {sql_table(action)} ADD CONSTRAINT {quoted(own_name(action, 'excl'))} "
                    f"EXCLUDE {action.expression or '…'}{_more(action)}"
                )
            ),
        )
    )


def _drop(action: Action) -> str:
    name = quoted(own_name(action, "fkey"))
    return "\n".join(
        (
            "# in a transaction of its own, to be tried again when the lock is not to be had:",
            patient(execute(f"ALTER TABLE {sql_table(action)} DROP CONSTRAINT {name}")),
        )
    )


def _index_first(action: Action) -> str:
    name = own_name(Action("", action.relation, columns=action.columns), "idx")
    index = Action("create_index", action.relation, name, action.columns)
    return autocommit(drop_index_first(index), create_index(index))


def _apart(action: Action) -> str:
    if action.verb == "validate_constraint":
        return _validate(action)
    return _foreign_key(action) if action.verb == "add_foreign_key" else _check(action)


def _domain(action: Action) -> str:
    if action.expression and not action.flags:
        return patient(execute(f"ALTER DOMAIN {sql_table(action)} {action.expression}"))
    name = quoted(last_part(action.name or f"{last_part(sql_table(action))}_check"))
    check = (action.expression or "CHECK (VALUE > 0)").removeprefix("add ").removeprefix("ADD ")
    return "\n".join(
        (
            patient(execute(f"ALTER DOMAIN {sql_table(action)} ADD CONSTRAINT {name} {check} NOT VALID")),
            "# VALIDATE holds the lock for its scan: prefer a CHECK on the column, NOT VALID, then VALIDATE",
        )
    )


def _scanned(case: Case, action: Action) -> bool:
    return case.scanned(action.relation)


def _checks(case: Case) -> Iterator[Match]:
    yield from asks("add_check", without=_UNPROVED, also=_scanned)(case)
    yield from asks("add_column", having=frozenset(["check"]), also=_scanned)(case)


def _foreign_keys(case: Case) -> Iterator[Match]:
    for action in case.actions("add_foreign_key"):
        if "not_valid" in action.flags or case.failed:
            continue
        child = case.held(action.relation, *WRITES_BLOCKED[2:], ACCESS_EXCLUSIVE)
        parent = case.held(action.references, *WRITES_BLOCKED[2:], ACCESS_EXCLUSIVE)
        new_parent = case.is_new(action.references)
        if child is not None:
            yield case.match(action, child, *([parent] if parent and not new_parent else []))


def _from_new_table(case: Case) -> Iterator[Match]:
    """A foreign key of a new table locks the parent, which others want."""
    for action in case.traced.shape.actions:
        if action.verb != "add_foreign_key" or not case.is_new(action.relation):
            continue
        if case.is_new(action.references) or same(action.relation, action.references):
            continue
        held = case.held(action.references, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE)
        if held is not None and held.measured:
            yield case.match(action, held, weight="note" if case.gentle(held) else "measured")


def _before_anyone_writes_it(case: Case) -> Iterator[Match]:
    """A column of this migration that nothing fills must not be null: the running release's writes fail."""
    for action in case.actions("add_check", "set_not_null", "add_not_null"):
        for added in case.before("add_column"):
            if _left_null(case, added) and _forbids_null(action, added):
                yield case.match(action, said=f"{added.name} was added without a default", weight="certain")


def _forbids_null(action: Action, added: Action) -> bool:
    if not same(action.relation, added.relation) or added.name is None:
        return False
    if action.verb == "add_check":
        asked = rf"\b{re.escape(added.name)}\s+is\s+not\s+null\b"
        return re.search(asked, action.expression or "", re.IGNORECASE) is not None
    return added.name in (action.name, *action.columns)


def _left_null(case: Case, added: Action) -> bool:
    """Whether neither a default nor a trigger of this migration fills the column."""
    if added.default is not None or _FILLED & added.flags:
        return False
    filling = (a for a in case.before("set_default", "add_identity", "create_trigger"))
    return not any(
        same(a.relation, added.relation) and (a.verb == "create_trigger" or a.name == added.name)
        for a in filling
    )


def _filled_first(action: Action) -> str:
    column = action.columns[0] if action.columns else action.name or "column"
    return "\n".join(
        (
            "# the running release does not know the column: a default fills what it writes,",
            patient(execute(f"ALTER TABLE {sql_table(action)} ALTER COLUMN {column} SET DEFAULT …")),
            "# or the constraint waits for the release that writes the column itself.",
        )
    )


def _together(case: Case) -> Iterator[Match]:
    for action in case.actions("validate_constraint"):
        for added in case.before_in_transaction("add_check", "add_foreign_key", "add_not_null"):
            if same(added.name, action.name) and same(added.relation, action.relation):
                kept = [held for held in case.kept(*WRITES_BLOCKED) if same(held.relation, action.relation)]
                yield case.match(added, *kept, said=f"VALIDATE CONSTRAINT {action.name} ran under its lock")


def _strictest(case: Case) -> Iterator[Match]:
    for action in case.actions("validate_constraint", "add_foreign_key"):
        others = [
            item
            for item in case.traced.shape.actions
            if item.verb in _EXCLUSIVE_VERBS and same(item.relation, action.relation)
        ]
        if "not_valid" in action.flags or not others or not case.scanned(action.relation):
            continue
        held = case.held(action.relation, *READS_BLOCKED)
        if held is not None:
            yield case.match(action, held)


def _unindexed(case: Case) -> Iterator[Match]:
    for action in case.actions("add_foreign_key", "add_column"):
        if action.references is None or not case.indexes or not action.columns or case.failed:
            continue
        before = any(
            same(index.table, action.relation) and index.columns[:1] == action.columns[:1] and index.valid
            for index in case.indexes.values()
        )
        made = any(
            same(item.relation, action.relation) and item.columns[:1] == action.columns[:1]
            for item in case.indexed
        )
        if not before and not made:
            said = f"no index of {action.relation} begins with {action.columns[0]}"
            yield case.match(action, said=said)


def _drops(case: Case) -> Iterator[Match]:
    for action in case.actions("drop_constraint"):
        held = case.locks(ACCESS_EXCLUSIVE)
        others = [item for item in held if not same(item.relation, action.relation)]
        if others and not case.gentle(*held):
            yield case.match(action, *held)


def _domains(case: Case) -> Iterator[Match]:
    for action in case.actions("alter_domain"):
        held = case.locks(SHARE)
        if held:
            yield case.match(action, *held)


_CHECK = Action("add_check", "orders", "orders_quantity_check", expression="quantity >= 0")
_FOREIGN = Action(
    "add_foreign_key", "orders", "orders_customer_id_fkey", ("customer_id",), references="customers"
)
_UNIQUE = Action("add_unique", "orders", "orders_code_key", ("code",))

RULES = (
    Rule(
        id="add-check",
        title="ADD CHECK, validated at once",
        condition="A CHECK was added and the whole table read under AccessExclusiveLock to prove it.",
        consequence="Reads and writes wait for the scan and until the transaction ends.",
        instead="NOT VALID, then VALIDATE in another transaction",
        source=_NOTES,
        example=_CHECK,
        safe=_check,
        matches=_checks,
    ),
    Rule(
        id="add-foreign-key",
        title="ADD FOREIGN KEY, validated at once",
        condition="A foreign key was added and its rows checked under ShareRowExclusiveLock on both tables.",
        consequence="Writes to both tables wait for the scan; two busy tables can deadlock.",
        instead="NOT VALID, then VALIDATE in another transaction",
        source=_NOTES,
        example=_FOREIGN,
        safe=_foreign_key,
        matches=_foreign_keys,
    ),
    Rule(
        id="create-table-references",
        title="A new table with a foreign key to a busy one",
        condition="A new table's foreign key locked the existing table that it references.",
        consequence="Writes to the referenced table wait until the transaction ends.",
        instead="the table first, then the key NOT VALID, then VALIDATE",
        source=_NOTES,
        example=_FOREIGN,
        safe=_of_new_table,
        matches=_from_new_table,
    ),
    Rule(
        id="check-on-new-column",
        title="A column must not be null before anyone writes it",
        condition="NOT NULL was asked of a column that the migration added, with nothing that fills it.",
        consequence="Every row that the running release writes fails (23514 or 23502), NOT VALID or not.",
        instead="a default first, or the constraint with the release that writes the column",
        source=_ALTER,
        example=Action("set_not_null", "orders", "region", ("region",)),
        safe=_filled_first,
        matches=_before_anyone_writes_it,
    ),
    Rule(
        id="not-valid-and-validate",
        title="NOT VALID and VALIDATE in one transaction",
        condition="A constraint was added NOT VALID and validated in the same transaction.",
        consequence="The scan runs under the lock of the ADD, which NOT VALID was to avoid.",
        instead="VALIDATE in a transaction of its own",
        source=_NOTES,
        example=_CHECK,
        safe=_apart,
        matches=_together,
    ),
    Rule(
        id="scan-under-exclusive-lock",
        title="A validation in one ALTER TABLE with something stricter",
        condition="One ALTER TABLE validated a constraint and did what needs AccessExclusiveLock.",
        consequence="The strictest subcommand decides: reads wait for a scan that would let them through.",
        instead="one ALTER TABLE for each",
        source=_ALTER,
        example=_FOREIGN,
        safe=_apart,
        matches=_strictest,
    ),
    Rule(
        id="foreign-key-without-index",
        title="A foreign key without an index",
        condition="A foreign key was added on columns that no index begins with.",
        consequence="Every DELETE and key UPDATE of the parent reads the whole referencing table.",
        instead="an index CONCURRENTLY before the key",
        source="https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK",
        example=_FOREIGN,
        safe=_index_first,
        matches=_unindexed,
    ),
    Rule(
        id="add-unique",
        title="ADD UNIQUE",
        condition="A UNIQUE constraint built its index under AccessExclusiveLock.",
        consequence="Reads and writes wait while the whole table is read and indexed.",
        instead="a unique index CONCURRENTLY, then ADD CONSTRAINT … USING INDEX",
        source=_ALTER,
        example=_UNIQUE,
        safe=_key,
        matches=asks("add_unique", without=_READY_MADE),
    ),
    Rule(
        id="add-primary-key",
        title="ADD PRIMARY KEY",
        condition="A primary key built its index under AccessExclusiveLock.",
        consequence="Reads and writes wait while the table is read, for NOT NULL as well, and indexed.",
        instead="NOT NULL in steps, a unique index CONCURRENTLY, then USING INDEX",
        source=_ALTER,
        example=Action("add_primary_key", "orders", "orders_pkey", ("id",)),
        safe=_key,
        matches=asks("add_primary_key", without=_READY_MADE),
    ),
    Rule(
        id="add-exclude",
        title="ADD EXCLUDE",
        condition="An exclusion constraint built its index under AccessExclusiveLock.",
        consequence="Reads and writes wait while the whole table is read and indexed; there is no NOT VALID.",
        instead="a new table that has it, filled in batches, swapped",
        source="https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-EXCLUDE",
        example=Action("add_exclude", "bookings", "no_overlap", expression="USING gist (span WITH &&)"),
        safe=_exclude,
        matches=asks("add_exclude"),
    ),
    Rule(
        id="drop-foreign-key",
        title="Dropping a foreign key",
        condition="A foreign key was dropped under AccessExclusiveLock on both tables.",
        consequence="Reads and writes of the referenced table wait too, and two busy tables can deadlock.",
        instead="in a transaction of its own, with a lock_timeout and another try",
        source=_ALTER,
        example=Action("drop_constraint", "orders", "orders_customer_id_fkey"),
        safe=_drop,
        matches=_drops,
    ),
    Rule(
        id="alter-domain",
        title="A constraint on a domain",
        condition="A domain's constraint was checked under ShareLock on every table that uses the domain.",
        consequence="Writes to all those tables wait for their scans.",
        instead="a CHECK on the column, NOT VALID, then VALIDATE",
        source="https://www.postgresql.org/docs/current/sql-alterdomain.html",
        example=Action("alter_domain", "positive_integer", "positive", expression="CHECK (VALUE > 0)"),
        safe=_domain,
        matches=_domains,
    ),
)
