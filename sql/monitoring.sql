-- What PostgreSQL says of itself, for whoever looks after LLMChat:
--   psql -U llmchat -d llmchat -f sql/monitoring.sql
-- It only reads. The application's role sees its own sessions in full and of others that they are there; for all of it: GRANT pg_monitor TO llmchat.
-- Some answers want earlier counts to compare with: since when they are counted stands in the second one (stats_reset).

\echo '== Connections at work'
-- A handful on a busy host. Near DB_MAX_CONNECTIONS for long: statements are slow (below), or there are too few connections.
SELECT count(*) FROM pg_stat_activity WHERE state = 'active';

\echo '== The database as a whole'
-- cache_hit_ratio below 99 with a database larger than shared_buffers: give it memory. Many rollbacks: look at PostgreSQL's log.
SELECT
  datname,
  numbackends as active_connections,
  xact_commit,
  xact_rollback,
  blks_read,
  blks_hit,
  (blks_hit::float / (blks_read + blks_hit + 0.0001)) * 100 as cache_hit_ratio,
  deadlocks,
  temp_bytes,
  stats_reset
FROM pg_stat_database
WHERE datname = current_database();

\echo '== Connections by program and state'
-- llmchat-N is the responder of slot N. `idle in transaction` is never ours: somebody forgot a COMMIT.
SELECT coalesce(nullif(application_name, ''), '-') AS program, usename AS role, coalesce(state, '(not shown)') AS state, count(*) AS connections,
  max(now() - state_change) AS longest
FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 50;

\echo '== Connections used and allowed'
-- used near allowed: whoever connects next is refused. Each host takes up to DB_MAX_CONNECTIONS, more while it restarts.
SELECT count(*) AS used, current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer AS allowed
FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL;

\echo '== Who waits for whose lock'
-- Empty is well. blocked_by is the process to look at first; SELECT pg_terminate_backend(pid) ends it.
SELECT a.pid, a.application_name AS program, now() - a.query_start AS since, pg_blocking_pids(a.pid) AS blocked_by, left(a.query, 80) AS statement
FROM pg_stat_activity a
WHERE a.wait_event_type = 'Lock'
ORDER BY since DESC LIMIT 50;

\echo '== The longest transactions'
-- Ours last milliseconds. One of hours keeps VACUUM from clearing anything that died since: dead rows grow (below).
SELECT pid, application_name AS program, usename AS role, state, now() - xact_start AS since, left(query, 80) AS statement
FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 10;

\echo '== Dead rows and VACUUM'
-- dead_percent over 20 and an old last_autovacuum: autovacuum does not keep up, or something above keeps it from clearing.
SELECT relname AS table, n_live_tup AS live, n_dead_tup AS dead, round(100.0 * n_dead_tup / greatest(n_live_tup + n_dead_tup, 1), 1) AS dead_percent,
  last_autovacuum, last_autoanalyze, pg_size_pretty(pg_total_relation_size(relid)) AS size
FROM pg_stat_user_tables
ORDER BY n_dead_tup DESC, relname LIMIT 20;

\echo '== Space that may be bloat'
-- bytes_per_row far above what the same table had a month ago: space that is not used again. REINDEX CONCURRENTLY for indexes, VACUUM for tables.
SELECT c.relname AS table, c.reltuples::bigint AS rows_estimated, pg_size_pretty(pg_table_size(c.oid)) AS table_size,
  pg_size_pretty(pg_indexes_size(c.oid)) AS indexes_size,
  CASE WHEN c.reltuples > 0 THEN round(pg_table_size(c.oid) / c.reltuples::numeric) END AS bytes_per_row,
  CASE WHEN c.reltuples > 0 THEN round(pg_indexes_size(c.oid) / c.reltuples::numeric) END AS index_bytes_per_row
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = current_schema()
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname LIMIT 20;

\echo '== Use of indexes'
-- uses 0 after weeks of real work: not needed here. valid f: a build was broken off; sql/add_performance_indexes.sql, or DROP INDEX.
SELECT s.relname AS table, s.indexrelname AS index, s.idx_scan AS uses, pg_size_pretty(pg_relation_size(s.indexrelid)) AS size, i.indisvalid AS valid
FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
ORDER BY s.idx_scan, s.indexrelname LIMIT 100;

\echo '== Tables that are read from end to end'
-- seq_scans that grow on a large table: a statement without an index. Ours have one each; `llmchatctl db explain` shows which.
SELECT relname AS table, seq_scan AS seq_scans, seq_tup_read AS rows_read, idx_scan AS index_scans, n_live_tup AS live
FROM pg_stat_user_tables
WHERE n_live_tup > 1000
ORDER BY seq_tup_read DESC, relname LIMIT 20;

\echo '== Replicas'
-- Empty without replicas, or without pg_monitor. behind that grows: the replica or the line to it is too slow.
SELECT application_name AS replica, state, sync_state, pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END, replay_lsn)) AS behind, replay_lag
FROM pg_stat_replication
ORDER BY 1 LIMIT 20;

\echo '== The slowest statements'
-- By all the time they took together. mean_ms over 10 of one of ours: is its index there, do others hold locks?
-- It needs shared_preload_libraries = 'pg_stat_statements' and CREATE EXTENSION pg_stat_statements.
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')
	AND current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%' AS have_statements \gset
\if :have_statements
SELECT calls, round(total_exec_time::numeric) AS total_ms, round(mean_exec_time::numeric, 2) AS mean_ms, round(max_exec_time::numeric, 1) AS max_ms, rows,
  left(regexp_replace(query, '\s+', ' ', 'g'), 80) AS statement
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY total_exec_time DESC LIMIT 20;
\else
\echo 'pg_stat_statements is not there.'
\endif
