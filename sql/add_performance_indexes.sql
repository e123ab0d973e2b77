-- The three indexes that a busy LLMChat cannot do without, for a database that grew without them:
--   psql -U llmchat -d llmchat -f sql/add_performance_indexes.sql
-- after `llmchatctl migrate`. Nobody waits for it: CONCURRENTLY builds beside reads and writes. Run it as often as you like; what is there already stays.
-- `llmchatctl migrate` does not read this file (it has no number), and makes the same indexes under the same names.
\set ON_ERROR_STOP on

-- The role may have a time limit of its own; a large table takes longer.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_min_messages = warning;

-- A build that was broken off leaves an index that costs with every write and serves nobody. One that is still being built is left alone.
SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %s', i.indexrelid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname IN ('chat_sessions_user_updated', 'chat_messages_session_created', 'agent_configs_provider_active')
	AND i.indrelid IN (to_regclass('chat_sessions'), to_regclass('chat_messages'), to_regclass('agent_configs'))
	AND NOT i.indisvalid
	AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
\gexec

-- One user's sessions, newest first; as the migrations have it, only those that are listed.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_updated ON chat_sessions (user_id, updated_at DESC) WHERE status = 'active';
-- One session's messages, in order: (session_id, created_at ASC), and the id behind it because a turn's two rows have one created_at.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_messages_session_created ON chat_messages (session_id, created_at, id);
-- The agents of one provider.
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_configs_provider_active ON agent_configs (provider, is_active);

-- So that the planner knows of them at once.
ANALYZE chat_sessions;
ANALYZE chat_messages;
ANALYZE agent_configs;
