-- Agents: who people talk to. There is no column for a provider's key: keys stay in the configuration until they can be sealed.
CREATE TABLE agent_configs (
	id             text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'),
	name           text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
	description    text NOT NULL DEFAULT '',
	provider       text NOT NULL,
	-- As the file has it: ${VAR} is filled in when a responder loads it, so that the address may change with the environment.
	endpoint       text NOT NULL,
	model          text NOT NULL CHECK (char_length(model) <= 120),
	system_prompt  text NOT NULL DEFAULT '',
	temperature    double precision CHECK (temperature BETWEEN 0 AND 2),
	max_tokens     integer CHECK (max_tokens BETWEEN 1 AND 32768),
	context_tokens integer NOT NULL DEFAULT 8000 CHECK (context_tokens BETWEEN 0 AND 2000000),
	capabilities   jsonb NOT NULL DEFAULT '[]',
	features       jsonb NOT NULL DEFAULT '{}',
	timeouts       jsonb NOT NULL DEFAULT '{}',
	on_disconnect  text NOT NULL DEFAULT 'finish' CHECK (on_disconnect IN ('finish', 'cancel')),
	is_active      boolean NOT NULL DEFAULT true,
	from_file      boolean NOT NULL DEFAULT false,
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now()
);
