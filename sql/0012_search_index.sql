-- migrate: no-transaction
-- Messages in the order of their ends: what search has not yet seen. Made while turns go on. If it was interrupted: DROP INDEX chat_messages_ended, and again.
CREATE INDEX CONCURRENTLY chat_messages_ended ON chat_messages (ended_at) WHERE ended_at IS NOT NULL;
