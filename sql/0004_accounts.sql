-- Accounts: logins and their refresh tokens, failed logins, API keys, the audit log, and what tells responders that their copies are old.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
ALTER TABLE users ADD COLUMN last_login_at timestamptz;
-- Goes up with each new password, so that whoever has compared the old one is told; the same password hashed anew leaves it.
ALTER TABLE users ADD COLUMN password_changes integer NOT NULL DEFAULT 0;

-- One login: all access and refresh tokens that come of it. Ending it ends them all.
CREATE TABLE logins (
	id         uuid PRIMARY KEY,
	user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	address    text NOT NULL,
	user_agent text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 200),
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL, -- each refresh moves it on
	ended_at   timestamptz,
	-- logout; password: it was changed; revoked: by an administrator; reused: a refresh token came back that had been used before
	ended_why  text CHECK (ended_why IN ('logout', 'password', 'revoked', 'reused')),
	CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);

CREATE INDEX logins_user ON logins (user_id);
CREATE INDEX logins_expires ON logins (expires_at);

-- Ends the logins of a person, but for keep. A statement that holds the row of the user calls this, because a function sees what was
-- committed since its statement began: a login that was opened while that one waited for the row.
CREATE FUNCTION end_logins(person uuid, keep uuid, why text) RETURNS bigint LANGUAGE sql AS $$
	WITH ended AS (
		UPDATE logins SET ended_at = now(), ended_why = why WHERE user_id = person AND ended_at IS NULL AND id IS DISTINCT FROM keep RETURNING 1)
	SELECT count(*) FROM ended
$$;

-- Used ones are kept as long as the login, so that a stolen one that comes back is known.
CREATE TABLE refresh_tokens (
	hash       text PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
	login_id   uuid NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	used_at    timestamptz
);

CREATE INDEX refresh_tokens_login ON refresh_tokens (login_id);

-- Failed logins that still count. Of names only a hash: people type their password into the wrong field.
CREATE TABLE login_failures (
	kind       text NOT NULL CHECK (kind IN ('name', 'address')),
	key        text NOT NULL,
	failures   integer NOT NULL,
	expires_at timestamptz NOT NULL, -- then it counts no more
	PRIMARY KEY (kind, key)
);

CREATE INDEX login_failures_expires ON login_failures (expires_at);

CREATE TABLE api_keys (
	id           uuid PRIMARY KEY,
	user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name         text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
	shown        text NOT NULL, -- its first characters, so that people can tell their keys apart
	hash         text NOT NULL UNIQUE CHECK (hash ~ '^[0-9a-f]{64}$'),
	agents       jsonb CHECK (jsonb_typeof(agents) = 'array'), -- ids of the only agents it opens; NULL: all
	created_at   timestamptz NOT NULL DEFAULT now(),
	expires_at   timestamptz, -- NULL: never
	revoked_at   timestamptz,
	last_used_at timestamptz  -- to some minutes
);

CREATE INDEX api_keys_user ON api_keys (user_id);

-- Who did what, from where. It outlives the users it speaks of, so nothing here references them. Never a secret.
CREATE TABLE audit_log (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at         timestamptz NOT NULL DEFAULT now(),
	type       text NOT NULL,
	actor_id   uuid,          -- who did it; NULL: nobody who was logged in, or the operator (then actor says so)
	actor      text NOT NULL, -- his name at that time
	user_id    uuid,          -- whom it concerns
	address    text NOT NULL,
	request_id text NOT NULL,
	details    jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_user ON audit_log (user_id, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_type ON audit_log (type, id);

-- What changed, in the order of the commits: whoever changes something holds the one row of version until it commits, so a number
-- that is seen has no smaller one still to come. Responders read it every second and drop their copies of what it names.
CREATE TABLE version (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	n   bigint NOT NULL
);
INSERT INTO version (n) VALUES (0);

CREATE TABLE changes (
	n    bigint PRIMARY KEY,
	kind text NOT NULL, -- user, login, key, agent
	key  text NOT NULL, -- its id
	at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX changes_at ON changes (at);

-- Triggers, so that a change made by hand in psql is seen like any other.
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	WITH counted AS (UPDATE version SET n = n + 1 RETURNING n)
	INSERT INTO changes (n, kind, key) SELECT n, TG_ARGV[0], coalesce(NEW.id, OLD.id)::text FROM counted;
	RETURN NULL;
END
$$;

CREATE TRIGGER users_changed AFTER UPDATE OF username, role, is_active ON users FOR EACH ROW
	WHEN ((OLD.username, OLD.role, OLD.is_active) IS DISTINCT FROM (NEW.username, NEW.role, NEW.is_active)) EXECUTE FUNCTION note_change('user');
CREATE TRIGGER users_deleted AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION note_change('user');
CREATE TRIGGER logins_changed AFTER UPDATE OF ended_at ON logins FOR EACH ROW
	WHEN (OLD.ended_at IS DISTINCT FROM NEW.ended_at) EXECUTE FUNCTION note_change('login');
CREATE TRIGGER api_keys_changed AFTER UPDATE OF agents, expires_at, revoked_at ON api_keys FOR EACH ROW
	WHEN ((OLD.agents, OLD.expires_at, OLD.revoked_at) IS DISTINCT FROM (NEW.agents, NEW.expires_at, NEW.revoked_at)) EXECUTE FUNCTION note_change('key');
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION note_change('key');
CREATE TRIGGER agents_changed AFTER INSERT OR UPDATE OR DELETE ON agent_configs FOR EACH ROW EXECUTE FUNCTION note_change('agent');
