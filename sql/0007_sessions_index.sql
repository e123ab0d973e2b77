-- migrate: no-transaction
-- A user's active sessions, the latest first. Made while turns go on. If it was interrupted: DROP INDEX chat_sessions_user_updated, and again.
CREATE INDEX CONCURRENTLY chat_sessions_user_updated ON chat_sessions (user_id, updated_at DESC) WHERE status = 'active';
