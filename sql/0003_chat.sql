-- Sessions and messages. Every session has an owner: a row of users, or the id in an anonymous visitor's signed cookie.
CREATE TABLE chat_sessions (
	id            uuid PRIMARY KEY,
	user_id       uuid NOT NULL,
	anonymous     boolean NOT NULL,
	-- user_id when it is a row of users, so that the database itself keeps that promise.
	account_id    uuid GENERATED ALWAYS AS (CASE WHEN NOT anonymous THEN user_id END) STORED REFERENCES users (id) ON DELETE CASCADE,
	-- What clients call chatId: theirs or made here, any form, unique for one owner.
	name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 128),
	agent_id      text NOT NULL REFERENCES agent_configs (id),
	title         text NOT NULL DEFAULT '',
	message_count integer NOT NULL DEFAULT 0,
	created_at    timestamptz NOT NULL DEFAULT now(),
	updated_at    timestamptz NOT NULL DEFAULT now(),
	UNIQUE (user_id, name)
);

CREATE TABLE chat_messages (
	id                uuid PRIMARY KEY,
	session_id        uuid NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
	parent_id         uuid,          -- of an answer: its question
	client_id         text CHECK (char_length(client_id) <= 128),
	role              text NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
	content           text NOT NULL,
	parts             jsonb,         -- of a question that is more than text
	-- streaming: a turn works on it. complete; stopped by its user; cancelled: the reader left; interrupted: provider or server
	-- died, the text so far is kept; failed: nothing came.
	status            text NOT NULL CHECK (status IN ('streaming', 'complete', 'stopped', 'cancelled', 'interrupted', 'failed')),
	agent_id          text REFERENCES agent_configs (id),
	provider          text,
	model             text,
	finish_reason     text,
	error_code        text,
	prompt_tokens     bigint,
	completion_tokens bigint,
	total_tokens      bigint,
	usage_estimated   boolean NOT NULL DEFAULT false, -- the provider did not say: counted from the text
	first_event_ms    integer,
	took_ms           integer,
	created_at        timestamptz NOT NULL DEFAULT now(),
	ended_at          timestamptz,
	-- The process that works on it while it is streaming.
	owner_node        text,
	owner_slot        integer,
	owner_generation  bigint,
	CHECK (status <> 'streaming' OR owner_generation IS NOT NULL)
);

-- History, in order.
CREATE INDEX chat_messages_session_created ON chat_messages (session_id, created_at, id);
-- The sweeper looks for rows whose process is dead; there are never many.
CREATE INDEX chat_messages_streaming ON chat_messages (owner_node, owner_slot, owner_generation) WHERE status = 'streaming';
