"""What is asked of the catalog: one query per kind of thing, all with the same parameters.

`locked` are the oids of the tables that cannot be opened without waiting; `unlocked` False: that may be any.
What PostgreSQL opens a relation for (sizes, the text of definitions) is left out for those.
"""

from __future__ import annotations

__all__ = [
    "GRANTS",
    "INDEXES",
    "LIMIT",
    "LOCKED",
    "POLICIES",
    "READS",
    "SEQUENCES",
    "SETTINGS",
    "STATISTICS",
    "STATISTICS_OF_ONES_OWN",
    "STATISTICS_READABLE",
    "TABLES",
    "USER_SCHEMA",
    "constraints",
    "relation_name",
]

LIMIT = 100_000
"""Rows per query; a schema with more is not read at all, because a part of it would look like a loss."""

SETTINGS = """
    SELECT set_config('lock_timeout', '250ms', true), set_config('statement_timeout', '5s', true),
        set_config('search_path', 'public', true), set_config('client_encoding', 'UTF8', true),
        set_config('jit', 'off', true)
"""

USER_SCHEMA = r"n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

STATISTICS_READABLE = "SELECT has_table_privilege('pg_catalog.pg_statistic', 'SELECT') AS whole"

READABLE = "CROSS JOIN LATERAL (SELECT %(unlocked)s AND c.oid <> ALL (%(locked)s)) s(readable)"
"""Whether the relation `c` can be opened without waiting."""


def relation_name(relation: str, schema: str) -> str:
    """SQL for a relation's name, as `harness.core.schema_state` says it."""
    return (
        f"(CASE {schema}.nspname WHEN 'public' THEN '' ELSE quote_ident({schema}.nspname) || '.' END"
        f" || quote_ident({relation}.relname))"
    )


LOCKED = """
    SELECT DISTINCT coalesce(i.indrelid, c.oid, l.relation) AS oid
    FROM pg_locks l
    LEFT JOIN pg_index i ON i.indexrelid = l.relation
    LEFT JOIN pg_class c ON c.reltoastrelid = l.relation
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Tables that are locked, or whose index or TOAST table is. A lock only waited for makes others wait too."""

TABLES = f"""
    SELECT c.oid::bigint, {relation_name("c", "n")} AS name,
        c.relkind::text AS kind, c.relpersistence::text AS persistence,
        quote_ident(r.rolname) AS owner, r.rolsuper OR r.rolbypassrls AS owner_bypasses,
        c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
        coalesce(c.reloptions, '{{}}') AS options,
        CASE WHEN c.relkind IN ('r', 'm') AND c.reltuples >= 0 THEN c.reltuples::float8 END AS rows,
        c.relallvisible * current_setting('block_size')::float8 AS visible_bytes,
        CASE WHEN readable AND c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) END AS heap_bytes,
        CASE WHEN readable AND c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) END AS toast_bytes,
        CASE WHEN c.relispartition THEN
            (SELECT {relation_name("pc", "pn")} FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent
            JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = c.oid) END AS partition_of,
        has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AS statistics_readable,
        NOT readable AS locked,
        coalesce(a.columns, '{{}}') AS columns,
        CASE WHEN readable THEN coalesce(
            (SELECT json_object_agg(quote_ident(da.attname), pg_get_expr(d.adbin, d.adrelid))
            FROM pg_attrdef d JOIN pg_attribute da ON da.attrelid = d.adrelid AND da.attnum = d.adnum
            WHERE d.adrelid = c.oid), '{{}}') END AS defaults
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_roles r ON r.oid = c.relowner
    {READABLE}
    LEFT JOIN (
        SELECT attrelid, json_object_agg(quote_ident(attname), format_type(atttypid, atttypmod)
            || CASE WHEN attnotnull THEN ' not null' ELSE '' END ORDER BY attnum) AS columns
        FROM pg_attribute
        WHERE attnum > 0 AND NOT attisdropped AND attrelid >= 16384  -- the first oid that is not the system's
        GROUP BY attrelid
    ) a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {USER_SCHEMA}
    LIMIT {LIMIT + 1}
"""

GRANTS = f"""
    SELECT g.oid::bigint,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
        array_agg(DISTINCT privilege ORDER BY privilege) AS privileges
    FROM (
        SELECT c.oid, c.relnamespace, c.relowner, x.grantee, x.privilege_type AS privilege
        FROM pg_class c, aclexplode(c.relacl) x
        UNION ALL
        SELECT c.oid, c.relnamespace, c.relowner, x.grantee,
            x.privilege_type || ' (' || quote_ident(a.attname) || ')'
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) x
    ) g
    JOIN pg_namespace n ON n.oid = g.relnamespace
    WHERE grantee <> relowner AND {USER_SCHEMA}
    GROUP BY 1, 2
    ORDER BY 2
    LIMIT {LIMIT + 1}
"""

POLICIES = f"""
    SELECT c.oid::bigint, quote_ident(p.polname) AS name,
        CASE WHEN p.polpermissive THEN '' ELSE 'AS RESTRICTIVE ' END
        || 'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
            WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
        || ' TO ' || (SELECT string_agg(
            CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
            FROM unnest(p.polroles) role)
        || coalesce(' USING (' || CASE WHEN readable THEN pg_get_expr(p.polqual, c.oid) END || ')', '')
        || coalesce(' WITH CHECK ('
            || CASE WHEN readable THEN pg_get_expr(p.polwithcheck, c.oid) END || ')', '') AS definition
    FROM pg_policy p
    JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    {READABLE}
    WHERE {USER_SCHEMA}
    ORDER BY 2
    LIMIT {LIMIT + 1}
"""

READS = f"""
    SELECT DISTINCT w.ev_class::bigint AS oid, {relation_name("c", "n")} AS name
    FROM pg_rewrite w
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
    JOIN pg_class c ON c.oid = d.refobjid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {USER_SCHEMA}
    ORDER BY 2
    LIMIT {LIMIT + 1}
"""

STATISTICS = f"""
    SELECT c.oid::bigint, array_agg(DISTINCT quote_ident(a.attname)) AS columns
    FROM pg_statistic s
    JOIN pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum
    JOIN pg_class c ON c.oid = s.starelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {USER_SCHEMA}
    GROUP BY 1
    LIMIT {LIMIT + 1}
"""

STATISTICS_OF_ONES_OWN = f"""
    SELECT c.oid::bigint, array_agg(DISTINCT quote_ident(s.attname)) AS columns
    FROM pg_stats s
    JOIN pg_namespace n ON n.nspname = s.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
    WHERE {USER_SCHEMA}
    GROUP BY 1
    LIMIT {LIMIT + 1}
"""
"""Only of tables that the role may read. https://www.postgresql.org/docs/current/view-pg-stats.html"""

INDEXES = f"""
    SELECT {relation_name("x", "n")} AS name, {relation_name("c", "n")} AS table,
        coalesce(CASE WHEN readable THEN pg_get_indexdef(x.oid) END, '') AS definition,
        i.indisvalid AS valid, i.indisready AS ready, i.indisunique AS unique,
        CASE WHEN readable AND x.relkind = 'i' THEN pg_relation_size(x.oid) END AS bytes,
        x.relkind = 'I' AS partitioned,
        ARRAY(SELECT coalesce(quote_ident(a.attname), '')
            FROM generate_series(0, i.indnkeyatts - 1) k
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
            ORDER BY k) AS columns
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    {READABLE}
    WHERE {USER_SCHEMA}
    LIMIT {LIMIT + 1}
"""

SEQUENCES = f"""
    SELECT c.oid::bigint, {relation_name("c", "n")} AS name, format_type(s.seqtypid, NULL) AS type,
        {relation_name("t", "tn")} || '.' || quote_ident(a.attname) AS owned_by,
        format_type(a.atttypid, a.atttypmod) AS column_type, coalesce(d.deptype = 'i', false) AS identity
    FROM pg_sequence s
    JOIN pg_class c ON c.oid = s.seqrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_class t ON t.oid = d.refobjid
    LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE {USER_SCHEMA}
    LIMIT {LIMIT + 1}
"""


def constraints(server_version: int) -> str:
    """The query for constraints on a server of this version, as 180006."""
    enforced = "o.conenforced" if server_version >= 180_000 else "true"
    return f"""
    SELECT quote_ident(o.conname) AS name, {relation_name("c", "n")} AS table, o.contype::text AS kind,
        coalesce(CASE WHEN readable THEN pg_get_constraintdef(o.oid) END, '') AS definition,
        o.convalidated AS valid, {enforced} AS enforced,
        ARRAY(SELECT quote_ident(a.attname) FROM unnest(o.conkey) WITH ORDINALITY k(n, at)
            JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.n ORDER BY k.at) AS columns
    FROM pg_constraint o
    JOIN pg_class c ON c.oid = o.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    {READABLE}
    WHERE o.contype IN ('c', 'f', 'n', 'p', 'u', 'x') AND o.conparentid = 0 AND o.conislocal AND {USER_SCHEMA}
    LIMIT {LIMIT + 1}
"""
