-- How providers that keep conversations themselves (Dify, FastGPT) call a session: their names by the id of the agent that was asked.
ALTER TABLE chat_sessions ADD COLUMN upstream_names jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(upstream_names) = 'object');
