-- Usage per day, agent and user: kept by a job of the responders, so that nobody counts messages while an administrator waits.
CREATE TABLE usage_daily (
	day                date NOT NULL,   -- UTC, on which it was asked for
	agent_id           text NOT NULL,   -- usage outlives agents and users, so nothing here references them
	user_id            uuid NOT NULL,   -- all anonymous visitors are one: 00000000-0000-0000-0000-000000000000
	turns              bigint NOT NULL, -- the sum of the next five
	complete           bigint NOT NULL,
	stopped            bigint NOT NULL,
	cancelled          bigint NOT NULL,
	interrupted        bigint NOT NULL,
	failed             bigint NOT NULL,
	prompt_tokens      bigint NOT NULL,
	completion_tokens  bigint NOT NULL,
	first_event_ms_sum bigint NOT NULL,
	first_events       bigint NOT NULL, -- turns that had one
	PRIMARY KEY (day, agent_id, user_id)
);

-- What usage_daily does not have yet: a row for each ending, written with the ending itself, so that a crash or a second host can neither lose
-- nor double one; and with n = -1 what an ending was before it changed (a turn that was wrongly taken for abandoned). The job takes rows away
-- in the statement that adds them up. A watermark of time would miss what commits late.
CREATE TABLE usage_pending (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	n                 integer NOT NULL,
	day               date NOT NULL,
	agent_id          text NOT NULL,
	user_id           uuid NOT NULL,
	status            text NOT NULL,
	prompt_tokens     bigint,
	completion_tokens bigint,
	first_event_ms    integer
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION note_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	owner uuid;
BEGIN
	SELECT CASE WHEN NOT anonymous THEN user_id END INTO owner FROM chat_sessions WHERE id = NEW.session_id;
	owner := coalesce(owner, '00000000-0000-0000-0000-000000000000');
	IF NEW.status <> 'streaming' THEN
		INSERT INTO usage_pending (n, day, agent_id, user_id, status, prompt_tokens, completion_tokens, first_event_ms)
		VALUES (1, (coalesce(NEW.retried_at, NEW.created_at) AT TIME ZONE 'UTC')::date, coalesce(NEW.agent_id, ''), owner, NEW.status, NEW.prompt_tokens, NEW.completion_tokens, NEW.first_event_ms);
	END IF;
	IF OLD.status <> 'streaming' THEN
		INSERT INTO usage_pending (n, day, agent_id, user_id, status, prompt_tokens, completion_tokens, first_event_ms)
		VALUES (-1, (coalesce(OLD.retried_at, OLD.created_at) AT TIME ZONE 'UTC')::date, coalesce(OLD.agent_id, ''), owner, OLD.status, OLD.prompt_tokens, OLD.completion_tokens, OLD.first_event_ms);
	END IF;
	RETURN NULL;
END
$$;

-- From here on endings wait for this migration, which counts what there is already: some seconds for a million answers.
CREATE TRIGGER chat_messages_ended AFTER UPDATE OF status ON chat_messages FOR EACH ROW
	WHEN (NEW.role = 'assistant' AND (OLD.status, OLD.prompt_tokens, OLD.completion_tokens, OLD.first_event_ms)
		IS DISTINCT FROM (NEW.status, NEW.prompt_tokens, NEW.completion_tokens, NEW.first_event_ms))
	EXECUTE FUNCTION note_usage();

INSERT INTO usage_daily
SELECT (coalesce(m.retried_at, m.created_at) AT TIME ZONE 'UTC')::date, coalesce(m.agent_id, ''),
	CASE WHEN s.anonymous THEN '00000000-0000-0000-0000-000000000000' ELSE s.user_id END, count(*),
	count(*) FILTER (WHERE m.status = 'complete'), count(*) FILTER (WHERE m.status = 'stopped'), count(*) FILTER (WHERE m.status = 'cancelled'),
	count(*) FILTER (WHERE m.status = 'interrupted'), count(*) FILTER (WHERE m.status = 'failed'),
	coalesce(sum(m.prompt_tokens), 0), coalesce(sum(m.completion_tokens), 0), coalesce(sum(m.first_event_ms), 0), count(m.first_event_ms)
FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id
WHERE m.role = 'assistant' AND m.status <> 'streaming'
GROUP BY 1, 2, 3;
