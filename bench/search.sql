-- Data for measuring search: a user with 10,000 sessions and 100,000 messages beside ten others with as many messages together, in English and
-- Chinese mixed, words as unevenly frequent as in life. For a database of its own, migrated, with no responders: psql -f bench/search.sql
SELECT setseed(0.5);
INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('bench', 'bench', 'custom', '', '') ON CONFLICT DO NOTHING;
INSERT INTO users (id, username) SELECT ('00000000-0000-7000-8000-0000000000' || lpad(i::text, 2, '0'))::uuid, 'bench-' || i FROM generate_series(0, 10) i;

-- 20,000 words and 3,000 characters; number n is as frequent as 1/n.
CREATE FUNCTION pg_temp.word(i integer) RETURNS text LANGUAGE sql AS $$
	SELECT (array['ba','co','di','fu','ge','ha','ki','lo','mu','ne','pa','qui','ro','sa','te','vo'])[1 + i % 16] ||
		(array['r','n','s','l','t','m','nd','st','ck','b'])[1 + i / 16 % 10] || (array['a','e','i','o','u','y'])[1 + i / 160 % 6] ||
		(array['n','r','x','ng','p','d','sh','l','m','th','v','k','z','rd','nt','ss','ff','g','w','ph','t'])[1 + i / 960]
$$;
CREATE TEMP TABLE sentence AS SELECT s AS n, t FROM generate_series(0, 19999) s, LATERAL (SELECT CASE WHEN s % 2 = 0
	THEN string_agg(pg_temp.word(floor(exp(random() * ln(20000)))::integer), ' ') || '. '
	ELSE string_agg(chr(19968 + floor(exp(random() * ln(3000)))::integer * 7), '') || '，' END AS t FROM generate_series(1, 14 + s % 2 * 4)) x;
ALTER TABLE sentence ADD PRIMARY KEY (n);
INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count, created_at, updated_at)
	SELECT gen_random_uuid(), ('00000000-0000-7000-8000-0000000000' || lpad((CASE WHEN i <= 10000 THEN 0 ELSE 1 + i % 10 END)::text, 2, '0'))::uuid, false,
	'bench-' || i, 'bench', (SELECT left(t, 30) FROM sentence WHERE n = i % 20000), 10, now() - make_interval(mins => 20000 - i % 10000),
	now() - make_interval(mins => 20000 - i % 10000) FROM generate_series(1, 20000) i;
-- Each message draws sentences of its own: what is drawn depends on the session too, or PostgreSQL may draw once for each k and use it for all.
INSERT INTO chat_messages (id, session_id, role, content, status, agent_id, created_at, ended_at)
	SELECT gen_random_uuid(), s.id, CASE WHEN k % 2 = 1 THEN 'user' ELSE 'assistant' END, x.t || ' rare' || substr(s.name, 7) || 'x' || k,
	'complete', 'bench', s.created_at + make_interval(secs => k), s.created_at + make_interval(secs => k)
	FROM chat_sessions s, generate_series(1, 10) k, LATERAL (SELECT string_agg(w.t, '') AS t
		FROM (SELECT floor(random() * 20000)::integer AS n FROM generate_series(1, CASE WHEN k % 2 = 1 THEN 2 ELSE 10 END + 0 * s.message_count)) r JOIN sentence w USING (n)) x
	WHERE s.agent_id = 'bench';
ANALYZE chat_sessions, chat_messages;
