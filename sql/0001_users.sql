-- People who log in. Nobody can before there is a password_hash; roles are read from here, never from a token alone.
CREATE TABLE users (
	id            uuid PRIMARY KEY,
	username      text NOT NULL CHECK (char_length(username) BETWEEN 1 AND 64),
	email         text CHECK (char_length(email) <= 254),
	password_hash text,
	role          text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
	is_active     boolean NOT NULL DEFAULT true,
	created_at    timestamptz NOT NULL DEFAULT now(),
	updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_username_key ON users (lower(username));
