"""A safe form does what the statement was to do."""

from __future__ import annotations

import pytest

from harness.core.advice import RULES, advise
from harness.db.parsing import parse
from tests.fix_advice import HASTY, REWRITE, S, advice, busy, done, traced


def test_a_form_that_shows_a_rewrite_as_it_stands_says_which_rule_has_the_statements_own() -> None:
    volatile = busy("ADD COLUMN c uuid DEFAULT gen_random_uuid()", duration_s=4.0, **REWRITE, **HASTY)
    safe = {found.rule: found.safe for found in advice(busy("ADD COLUMN d int", hold_s=5.0), volatile)}
    said = "# and that statement itself as add-column-volatile-default says"
    assert safe["work-after-exclusive-lock"].endswith(said)
    assert said not in safe["add-column-volatile-default"]
    slow = done("SELECT pg_sleep(4)", duration_s=4.0)
    [alone] = [one.safe for one in advice(busy("ADD COLUMN d int", hold_s=5.0), slow) if one.rule[0] == "w"]
    assert "itself" not in alone


def test_names_with_quotes_and_schemas_go_into_the_code() -> None:
    sql = 'CREATE UNIQUE INDEX "My ix" ON shop."My Table" ("Größe", lower(b)) WHERE b > 0'
    (found,) = advise(traced(done(sql, ('shop."My Table"', S))), {}, {})
    assert found.safe == (
        "with op.get_context().autocommit_block():\n"
        '    op.execute("DROP INDEX CONCURRENTLY IF EXISTS shop.\\"My ix\\"")\n'
        '    op.create_index("My ix", "My Table", ["Größe", sa.text("lower(b)")], schema="shop", '
        'unique=True, postgresql_where=sa.text("b > 0"), postgresql_concurrently=True)'
    )


def safe(rule: str, sql: str) -> str:
    found = next(item for item in RULES if item.id == rule)
    return found.safe(parse(sql).actions[0])


@pytest.mark.parametrize(
    ("rule", "sql", "written"),
    [
        ("create-policy", "DROP POLICY p ON t", "DROP POLICY p ON t"),
        ("create-policy", "ALTER POLICY p ON t USING (true)", "ALTER POLICY p ON t USING (true)"),
        ("alter-domain", "ALTER DOMAIN d SET NOT NULL", "ALTER DOMAIN d SET NOT NULL"),
        ("not-valid-and-validate", "ALTER TABLE t ADD CONSTRAINT n NOT NULL c NOT VALID", "n NOT NULL c NOT"),
        ("add-check", "ALTER TABLE t ADD c int CHECK (c > 0)", "CONSTRAINT t_c_check CHECK (c > 0) NOT"),
        ("add-column-unique", "ALTER TABLE t ADD c int PRIMARY KEY", "t_pkey PRIMARY KEY USING INDEX t_pkey"),
        ("add-column-json", "ALTER TABLE t ADD c json DEFAULT '{}' NOT NULL", "jsonb DEFAULT '{}' NOT NULL"),
        ("enum-value-same-transaction", "ALTER TYPE e ADD VALUE 'a' BEFORE 'b'", "'a' BEFORE 'b'"),
        ("update-without-batches", "UPDATE t SET a = 1, b = 2 WHERE c", "a = …, b = … WHERE ((c) AND a IS"),
        ("replace-view", "CREATE OR REPLACE VIEW s.v AS SELECT 1", "CREATE VIEW s.v_v2 AS"),
    ],
)
def test_the_safe_form_does_what_was_asked(rule: str, sql: str, written: str) -> None:
    assert written in safe(rule, sql)


def test_a_comment_in_a_statement_does_not_hide_its_end() -> None:
    sql = "UPDATE busy SET code = 'a  b' -- not all\n WHERE id = 3"
    (found,) = advice(done(sql, sqlstate="55P03"))
    assert "SET code = 'a  b' WHERE id = 3" in found.safe
