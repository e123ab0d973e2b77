-- Limits of API keys. NULL: none.
ALTER TABLE api_keys
	ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 1000000),
	ADD COLUMN tokens_per_minute   integer CHECK (tokens_per_minute BETWEEN 1 AND 1000000000),
	ADD COLUMN monthly_tokens      bigint  CHECK (monthly_tokens BETWEEN 1 AND 1000000000000);

CREATE TRIGGER api_keys_limits_changed AFTER UPDATE OF requests_per_minute, tokens_per_minute, monthly_tokens ON api_keys FOR EACH ROW
	WHEN ((OLD.requests_per_minute, OLD.tokens_per_minute, OLD.monthly_tokens) IS DISTINCT FROM (NEW.requests_per_minute, NEW.tokens_per_minute, NEW.monthly_tokens))
	EXECUTE FUNCTION note_change('key');

-- What the turns of a key with monthly_tokens took, by the month (UTC) in which they began.
CREATE TABLE key_months (
	key_id   uuid NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	month    date NOT NULL, -- its first day
	used     bigint NOT NULL DEFAULT 0,
	reserved bigint NOT NULL DEFAULT 0, -- by turns that have not been settled: the sum of key_turns
	PRIMARY KEY (key_id, month)
);

-- A turn that has reserved: written before the turn's rows are, gone when it is settled. What a dead responder left is settled by a job, as the
-- answer's row tells.
CREATE TABLE key_turns (
	answer_id  uuid PRIMARY KEY,
	key_id     uuid NOT NULL,
	month      date NOT NULL,
	reserved   bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	FOREIGN KEY (key_id, month) REFERENCES key_months ON DELETE CASCADE
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
