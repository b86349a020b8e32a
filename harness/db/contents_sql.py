"""What is asked of a database about the rows it holds."""

from __future__ import annotations

from harness.db.catalog_sql import USER_SCHEMA, relation_name

__all__ = ["NEXT_TRANSACTION", "OLDEST_TRANSACTION", "SEQUENCES", "SETTINGS", "SHOWN", "TABLES"]

SETTINGS = """
    SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', %(timeout)s, true),
        set_config('search_path', 'public', true), set_config('row_security', 'off', true),
        set_config('client_encoding', 'UTF8', true), set_config('DateStyle', 'ISO, YMD', true),
        set_config('TimeZone', 'UTC', true), set_config('IntervalStyle', 'iso_8601', true),
        set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),
        set_config('lc_monetary', 'C', true), set_config('jit', 'off', true)
"""
"""The same value has the same text in every session; where row-level security would hide rows, reading fails
(https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-ROW-SECURITY)."""

SHOWN = frozenset(
    (
        *("smallint", "integer", "bigint", "uuid"),
        *("date", "timestamp without time zone", "timestamp with time zone"),
    )
)
"""Types of keys that are shown: others may be what nobody should read, as a session's token or an address."""

OLDEST_TRANSACTION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text"

NEXT_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text"

TABLES = f"""
    SELECT {relation_name("c", "n")} AS name,
        quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation,
        c.relkind = 'r' AS plain,
        (SELECT coalesce(json_object_agg(quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)
            ORDER BY a.attnum), '{{}}')
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
        (SELECT coalesce(json_object_agg(quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)
            ORDER BY a.attnum), '{{}}')
        FROM pg_index i JOIN pg_attribute a
            ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        WHERE i.indrelid = c.oid AND i.indisprimary) AS key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER_SCHEMA}
    ORDER BY c.relpages, 1
"""

SEQUENCES = f"""
    SELECT {relation_name("c", "n")},
        CASE WHEN has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
            THEN pg_sequence_last_value(s.seqrelid) END
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.seqincrement > 0 AND NOT s.seqcycle AND {USER_SCHEMA}
"""
