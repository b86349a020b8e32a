"""What the observer asks PostgreSQL. Every query reads statistics or shared memory; none takes a user's lock.

Views and functions: https://www.postgresql.org/docs/current/monitoring-stats.html and
https://www.postgresql.org/docs/current/view-pg-locks.html
"""

from __future__ import annotations

__all__ = [
    "CLIENTS",
    "CLOCK",
    "LOCKS",
    "LOGS_WAITS",
    "NAMES",
    "POINT",
    "PROGRESS",
    "REPLAYED",
    "REPLICAS",
    "SESSIONS",
]

CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

LOGS_WAITS = """
    SELECT current_setting('log_lock_waits')::bool AND setting::int <= 1000
    FROM pg_settings WHERE name = 'deadlock_timeout'
"""
"""In milliseconds; https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-LOCK-WAITS"""

ANYONE_WAITS = """
    SELECT 1 FROM pg_stat_get_backend_idset() AS backend (id)
    WHERE pg_stat_get_backend_wait_event_type(backend.id) IN ('Lock', '<insufficient privilege>') LIMIT 1
"""
"""Whether any session waits for a heavyweight lock, or may do so unseen. Unlike `pg_locks` this takes no lock
of the lock table: a reader that loses its CPU while it has those stops every session that needs one
(https://www.postgresql.org/docs/current/view-pg-locks.html warns of it)."""

LOCKS = """
    SELECT l.pid, l.granted, l.locktype, l.mode, l.relation::int8,
           extract(epoch FROM l.waitstart)::float8,
           CASE WHEN l.granted THEN '{}'::int[] ELSE pg_blocking_pids(l.pid) END
    FROM pg_locks l
    WHERE (l.database IS NULL OR l.database = 0 OR l.database = %(database)s)
      AND (NOT l.granted OR l.pid = ANY(%(migration)s::int[]) AND l.locktype = 'relation')
      AND l.pid <> pg_backend_pid()
"""
"""Who waits, and what the migration's backends hold. Nothing is joined: sessions are looked up only when
somebody waits."""

SESSIONS = """
    SELECT s.pid, s.application_name, s.backend_type, s.state, s.query, s.query_id,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float8,
           CASE WHEN s.backend_type = 'parallel worker' THEN s.leader_pid END, s.datid = %(database)s
    FROM unnest(%(pids)s::int[]) AS wanted (pid), pg_stat_get_activity(wanted.pid) AS s
"""
"""`pg_stat_activity` without its joins to the names of databases and roles. Logical replication has leaders,
too, that are no sessions of clients."""

NAMES = (
    "SELECT c.oid::int8, c.oid::regclass::text, c.relkind::text FROM pg_class c WHERE c.oid = ANY(%s::oid[])"
)

CLIENTS = """
    SELECT pid, usename::text, application_name, host(client_addr), client_port,
           extract(epoch FROM backend_start)::float8
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
"""Parallel workers bear their leader's application name. The port is -1 for a local socket."""

PROGRESS = """
    SELECT pid, command, phase, relid::int8, nullif(current_locker_pid, 0)::int,
           CASE WHEN phase LIKE 'waiting%%' THEN lockers_done / nullif(lockers_total, 0)::float8
                ELSE coalesce(blocks_done / nullif(blocks_total, 0)::float8,
                              tuples_done / nullif(tuples_total, 0)::float8) END
    FROM pg_stat_progress_create_index WHERE pid = ANY(%(pids)s::int[])
    UNION ALL
    SELECT pid, command, phase, relid::int8, NULL, heap_blks_scanned / nullif(heap_blks_total, 0)::float8
    FROM pg_stat_progress_cluster WHERE pid = ANY(%(pids)s::int[])
    UNION ALL
    SELECT pid, 'VACUUM', phase, relid::int8, NULL, heap_blks_scanned / nullif(heap_blks_total, 0)::float8
    FROM pg_stat_progress_vacuum WHERE pid = ANY(%(pids)s::int[])
    UNION ALL
    SELECT pid, 'ANALYZE', phase, relid::int8, NULL,
           sample_blks_scanned / nullif(sample_blks_total, 0)::float8
    FROM pg_stat_progress_analyze WHERE pid = ANY(%(pids)s::int[])
    UNION ALL
    SELECT pid, command, lower(type), relid::int8, NULL, bytes_processed / nullif(bytes_total, 0)::float8
    FROM pg_stat_progress_copy WHERE pid = ANY(%(pids)s::int[])
"""
"""https://www.postgresql.org/docs/current/progress-reporting.html"""

POINT = """
    WITH session AS MATERIALIZED (
        SELECT coalesce(state, 'unknown') AS state, wait_event_type, xact_start
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
          AND pid <> pg_backend_pid() AND application_name <> %(own)s
    ), wal AS MATERIALIZED (
        SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END AS lsn
    )
    SELECT (SELECT coalesce(jsonb_object_agg(state, n), '{}')
            FROM (SELECT state, count(*) AS n FROM session GROUP BY state) AS counted),
           (SELECT count(*) FROM session WHERE wait_event_type = 'Lock'),
           (SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8 FROM session),
           d.deadlocks, d.temp_bytes, d.xact_commit, d.xact_rollback,
           (SELECT pg_wal_lsn_diff(lsn, '0/0')::int8 FROM wal),
           (SELECT max(pg_wal_lsn_diff(wal.lsn, restart_lsn))::int8 FROM pg_replication_slots, wal)
    FROM pg_stat_database d WHERE d.datname = current_database()
"""

REPLICAS = """
    SELECT CASE WHEN NOT pg_is_in_recovery()
                THEN pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::int8 END,
           r.pid, r.application_name, host(r.client_addr), r.state,
           pg_wal_lsn_diff(r.replay_lsn, '0/0')::int8, extract(epoch FROM r.write_lag)::float8,
           extract(epoch FROM r.flush_lag)::float8, extract(epoch FROM r.replay_lag)::float8
    FROM (SELECT 1) AS always
    LEFT JOIN pg_stat_replication r
      ON (r.state IS NULL OR r.replay_lsn IS NOT NULL)
     AND NOT EXISTS (SELECT FROM pg_replication_slots s
                     WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
"""
"""How far the primary's WAL is on its disk, from where replicas are sent it, and who replays it. Base backups
and `pg_receivewal` replay nothing; who may not see it all sees the pids alone."""

REPLAYED = """
    SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END, '0/0')::int8,
           extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
           (SELECT to_jsonb(c) - 'datid' - 'datname' FROM pg_stat_database_conflicts c
            WHERE c.datname = current_database())
"""
"""Asked of a replica. The time is the primary's, of the last transaction that was replayed."""
