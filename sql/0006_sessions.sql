-- What people do with their sessions: name, archive, delete and find them again, rate answers, ask for another answer. Only additions: the
-- program before this one goes on with its own statements.
ALTER TABLE chat_sessions
	ADD COLUMN status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived', 'deleted')),
	ADD COLUMN title_by_user boolean NOT NULL DEFAULT false, -- then no question titles it any more
	ADD COLUMN deleted_at    timestamptz,
	-- A deleted session gives its name away, so that its owner can begin another one under it at once; it is then called '#' and its id,
	-- which is no chatId, and this is what it was called.
	ADD COLUMN deleted_name  text,
	ADD CONSTRAINT chat_sessions_deleted CHECK ((status = 'deleted') = (deleted_at IS NOT NULL) AND (status = 'deleted') = (deleted_name IS NOT NULL));

-- Every session is in one of two indexes: a user's active ones (0007), and the others.
CREATE INDEX chat_sessions_user_put_away ON chat_sessions (user_id, status, updated_at DESC) WHERE status <> 'active';
CREATE INDEX chat_sessions_deleted_name ON chat_sessions (user_id, deleted_name) WHERE status = 'deleted';
-- The oldest deleted ones, for whoever purges.
CREATE INDEX chat_sessions_deleted_at ON chat_sessions (deleted_at) WHERE status = 'deleted';

-- Another answer to the same question has the created_at of its question, so that it stands beside the first one; this is when it was asked for.
ALTER TABLE chat_messages ADD COLUMN retried_at timestamptz;

CREATE TABLE chat_feedback (
	message_id uuid NOT NULL REFERENCES chat_messages (id) ON DELETE CASCADE,
	user_id    uuid NOT NULL, -- a row of users, or an anonymous visitor
	rating     text NOT NULL CHECK (rating IN ('good', 'bad')),
	comment    text CHECK (char_length(comment) <= 2000),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (message_id, user_id)
);

-- Which answer a client's Idempotency-Key stands for.
CREATE TABLE idempotency_keys (
	owner_id   uuid NOT NULL,
	key        text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
	body_hash  text NOT NULL,
	answer_id  uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	UNIQUE (owner_id, key)
);

CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);

-- How many sessions each owner has, kept so that no list has to count them: {"active/AGENT": 3, "archived/AGENT": 1, …}. One row an owner,
-- and whoever changes several does so in the order of owners: two statements never wait for each other in a ring.
CREATE TABLE session_counts (
	user_id uuid PRIMARY KEY,
	counts  jsonb NOT NULL
);

CREATE FUNCTION count_session() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	now_in text := NEW.status || '/' || NEW.agent_id;
	was_in text;
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO session_counts AS c VALUES (NEW.user_id, jsonb_build_object(now_in, 1))
			ON CONFLICT (user_id) DO UPDATE SET counts = c.counts || jsonb_build_object(now_in, coalesce((c.counts ->> now_in)::bigint, 0) + 1);
	ELSE
		was_in := OLD.status || '/' || OLD.agent_id;
		UPDATE session_counts c SET counts = c.counts || jsonb_build_object(was_in, coalesce((c.counts ->> was_in)::bigint, 0) - 1,
			now_in, coalesce((c.counts ->> now_in)::bigint, 0) + 1) WHERE c.user_id = NEW.user_id;
	END IF;
	RETURN NULL;
END
$$;

-- All that one statement deleted, at once: a user's sessions go together.
CREATE FUNCTION uncount_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	owner uuid;
BEGIN
	FOR owner IN SELECT DISTINCT user_id FROM gone ORDER BY user_id LOOP
		UPDATE session_counts c SET counts = c.counts || (
			SELECT jsonb_object_agg(k, coalesce((c.counts ->> k)::bigint, 0) - n)
			FROM (SELECT status || '/' || agent_id AS k, count(*) AS n FROM gone WHERE user_id = owner GROUP BY 1) g)
			WHERE c.user_id = owner;
		DELETE FROM session_counts c WHERE c.user_id = owner AND NOT EXISTS (SELECT FROM jsonb_each_text(c.counts) e WHERE e.value <> '0');
	END LOOP;
	RETURN NULL;
END
$$;

-- A turn that goes on with a session fires none of them.
CREATE TRIGGER chat_sessions_counted AFTER INSERT ON chat_sessions FOR EACH ROW EXECUTE FUNCTION count_session();
CREATE TRIGGER chat_sessions_recounted AFTER UPDATE OF status ON chat_sessions FOR EACH ROW
	WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION count_session();
CREATE TRIGGER chat_sessions_uncounted AFTER DELETE ON chat_sessions REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
	EXECUTE FUNCTION uncount_sessions();

INSERT INTO session_counts
	SELECT user_id, jsonb_object_agg(k, n) FROM (SELECT user_id, status || '/' || agent_id AS k, count(*) AS n FROM chat_sessions GROUP BY 1, 2) g
	GROUP BY user_id;
