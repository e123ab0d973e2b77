-- Agents that administrators make and change: what was missing for that, and keys of providers, sealed.
CREATE SEQUENCE agent_revisions;

ALTER TABLE agent_configs
	ADD COLUMN app_id text CHECK (char_length(app_id) BETWEEN 1 AND 128),
	ADD COLUMN rate_limit jsonb NOT NULL DEFAULT '{}',
	ADD COLUMN fallbacks jsonb NOT NULL DEFAULT '[]', -- ids of agents; one that does not exist is passed over
	ADD COLUMN max_concurrent integer CHECK (max_concurrent BETWEEN 1 AND 100000),
	ADD COLUMN max_queue integer CHECK (max_queue BETWEEN 0 AND 100000),
	-- The provider's key: nonce, ciphertext and tag, which open with the key that sealed_with names, for this id only.
	ADD COLUMN sealed_api_key text CHECK (char_length(sealed_api_key) <= 16384),
	ADD COLUMN sealed_with text,
	-- Its key was set, or taken away, through the API: the one of the file does not count any more.
	ADD COLUMN own_key boolean NOT NULL DEFAULT false,
	ADD COLUMN created_by uuid, -- of users, whom it may outlive
	-- A deleted agent's row stays, without its secrets, for the sessions and messages that name it; and so that the file does not bring it back.
	ADD COLUMN deleted_at timestamptz,
	-- Never the same twice, of this or of another agent: a copy with the same revision is the same.
	ADD COLUMN revision bigint NOT NULL DEFAULT nextval('agent_revisions'),
	ADD CHECK ((sealed_api_key IS NULL) = (sealed_with IS NULL));

CREATE INDEX agent_configs_provider_active ON agent_configs (provider, is_active);
-- Has an agent sessions?
CREATE INDEX chat_sessions_agent ON chat_sessions (agent_id);

-- A trigger, so that a change made by hand in psql is one as well.
CREATE FUNCTION new_agent_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.revision := nextval('agent_revisions');
	NEW.updated_at := now();
	RETURN NEW;
END
$$;

CREATE TRIGGER agents_revised BEFORE UPDATE ON agent_configs FOR EACH ROW EXECUTE FUNCTION new_agent_revision();

-- One note for a statement, however many agents it changes: each note is a new version of the one row that counts them, and a
-- transaction that wrote five thousand of those would look through all of them each time.
CREATE FUNCTION note_agents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	WITH found AS (SELECT count(*) AS n, min(id) AS id FROM changed),
		counted AS (UPDATE version SET n = version.n + 1 FROM found WHERE found.n > 0 RETURNING version.n)
	INSERT INTO changes (n, kind, key) SELECT counted.n, 'agent', CASE found.n WHEN 1 THEN found.id ELSE '*' END FROM counted, found;
	RETURN NULL;
END
$$;

DROP TRIGGER agents_changed ON agent_configs;
CREATE TRIGGER agents_added AFTER INSERT ON agent_configs REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_agents();
CREATE TRIGGER agents_changed AFTER UPDATE ON agent_configs REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_agents();
CREATE TRIGGER agents_removed AFTER DELETE ON agent_configs REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_agents();
