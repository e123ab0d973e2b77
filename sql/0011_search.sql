-- Search over titles and messages (docs/decisions/0013): what is found by which words, apart from chat_messages, whose rows stay as they are.
-- Words are made here and nowhere else, so that what is stored and what is asked for always agree.

-- English words by their stem. No stop words: whoever looks for "the who" means it.
CREATE TEXT SEARCH DICTIONARY search_english (TEMPLATE = snowball, language = english);

-- Lower case by whatever this server has that knows more than ASCII; each character stays one character where it can.
DO $do$
DECLARE
	best text := (SELECT format(' COLLATE %I', collname) FROM pg_collation
		WHERE collname IN ('C.utf8', 'C.UTF-8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace AND collencoding IN (-1, 6)
		ORDER BY collprovider, collname LIMIT 1);
BEGIN
	EXECUTE format('CREATE FUNCTION search_lower(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
		format('SELECT lower(body%s)', best));
END
$do$;

-- What is compared: lower case, and full-width letters and digits as plain ones. As many characters as before, so that a place in one is a
-- place in the other.
CREATE FUNCTION search_fold(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF octet_length(body) = length(body) THEN
		RETURN lower(body COLLATE "C");
	END IF;
	IF body COLLATE "C" ~ '[\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A]' THEN
		body := translate(body, '０１２３４５６７８９ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ',
			'0123456789abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz');
	END IF;
	RETURN search_lower(body);
END
$$;

-- The first 64 KB or so: as many characters as that are, if all are of the same length.
CREATE FUNCTION search_head(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF octet_length(body) <= 65536 THEN
		RETURN body;
	END IF;
	body := left(body, 65536);
	IF octet_length(body) > 65536 THEN
		body := left(body, (65536::bigint * length(body) / octet_length(body))::integer);
	END IF;
	RETURN body;
END
$$;

-- Words with one blank between them. What is written without blanks (Han, kana, Hangul, Thai and its neighbours; emoji too) stays in runs,
-- each with \1 before it; everything else that is no letter and no digit has gone.
CREATE FUNCTION search_spaced(folded text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	spaced text;
BEGIN
	IF octet_length(folded) = length(folded) THEN
		RETURN btrim(regexp_replace(folded COLLATE "C", '[^0-9a-z]+', ' ', 'g'));
	END IF;
	spaced := regexp_replace(folded COLLATE "C", '[^0-9a-z\u00AA\u00B5\u00BA\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u0559\u0560-\u0588\u0591-\u05BD'
		'\u05C4-\u05F2\u0610-\u061A\u0620-\u066C\u066E-\u06D3\u06D5-\u0963\u0966-\u1FFF\u2600-\u27BF\u2C00-\u2DFF\u2E80-\u2FDF\u3005-\u3007'
		'\u3021-\u3029\u3031-\u3035\u3038-\u303C\u3041-\u30FA\u30FC-\u31FF\u3400-\uD7FF\uF900-\uFDFF\uFE70-\uFEFC\uFF66-\uFFDC'
		'\U00010000-\U0001CFFF\U0001D400-\U0001D7FF\U0001E000-\U0003FFFF]+', ' ', 'g');
	spaced := regexp_replace(spaced, '([\u0E00-\u0EFF\u1000-\u109F\u1100-\u11FF\u1780-\u17FF\u2600-\u27BF\u2E80-\u2FDF\u3005-\u31FF\u3400-\u9FFF'
		'\uA960-\uA97F\uAC00-\uD7FF\uF900-\uFAFF\uFF66-\uFFDC\U0001B000-\U0001B2FF\U0001F000-\U0001FAFF\U00020000-\U0003FFFF]+)',
		E' \1\\1 ', 'g');
	RETURN btrim(regexp_replace(spaced, '  +', ' ', 'g'));
END
$$;

-- One word as it is stored.
CREATE FUNCTION search_stem(word text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF length(word) > 64 THEN
		RETURN left(word, 64);
	END IF;
	IF word COLLATE "C" ~ '^[a-z]+$' THEN
		RETURN coalesce((ts_lexize('search_english', word))[1], word);
	END IF;
	RETURN word;
END
$$;

-- All words of a text: stems, and of each run its overlapping pairs and its last character, so that every character begins one of them.
CREATE FUNCTION search_words(body text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	words text[] := string_to_array(search_spaced(search_fold(search_head(body))), ' ');
	runs  text := (SELECT string_agg(substr(w, 2), ' ') FROM unnest(words) w WHERE w LIKE E'\1%');
BEGIN
	RETURN ARRAY(
		SELECT search_stem(w) FROM (SELECT DISTINCT w FROM unnest(words) w WHERE w NOT LIKE E'\1%' AND w <> '') d
		UNION
		SELECT rtrim(c || next) FROM (
			SELECT c, lead(c, 1, ' ') OVER (ORDER BY n) AS next FROM unnest(string_to_array(runs, NULL)) WITH ORDINALITY AS t (c, n)) p
		WHERE c <> ' ');
END
$$;

-- What somebody asks for. wanted: a tsquery with \2 before each word, where the name of a slice belongs; NULL if there is no word. runs, stems: the
-- same words, to be found in texts. phrases: what stood in quotes, as search_spaced has it. Whatever words alone cannot tell is in phrases
-- and in runs of three characters and more: then exact is false.
CREATE FUNCTION search_query(asked text, OUT wanted text, OUT runs text[], OUT stems text[], OUT phrases text[], OUT exact boolean)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	folded text := search_fold(translate(asked, '“”„‟＂', '"""""'));
	quoted text[] := string_to_array(folded, '"');
	word   text;
	phrase text;
	terms  text[] := '{}';
BEGIN
	runs := '{}';
	stems := '{}';
	phrases := '{}';
	FOR word IN SELECT DISTINCT w FROM unnest(string_to_array(search_spaced(folded), ' ')) w WHERE w <> '' LOOP
		IF word NOT LIKE E'\1%' THEN
			stems := stems || search_stem(word);
			terms := terms || format(E'\'\2%s\'', search_stem(word));
			CONTINUE;
		END IF;
		word := substr(word, 2);
		runs := runs || word;
		IF length(word) = 1 THEN
			terms := terms || format(E'\'\2%s\':*', word);
		END IF;
		FOR i IN 1 .. length(word) - 1 LOOP
			terms := terms || format(E'\'\2%s\'', substr(word, i, 2));
		END LOOP;
	END LOOP;
	FOR i IN 1 .. (cardinality(quoted) - 1) / 2 LOOP
		phrase := search_spaced(quoted[2 * i]);
		IF phrase <> '' AND phrase NOT LIKE E'\1%' THEN
			phrase := ' ' || phrase;
		END IF;
		IF phrase <> '' AND split_part(phrase, ' ', -1) NOT LIKE E'\1%' THEN
			phrase := phrase || ' ';
		END IF;
		IF phrase LIKE '%_ _%' OR phrase LIKE ' % ' THEN
			phrases := phrases || replace(phrase, E'\1', '');
		END IF;
	END LOOP;
	wanted := (SELECT string_agg(DISTINCT t, ' & ') FROM unnest(terms) t);
	exact := cardinality(phrases) = 0 AND NOT EXISTS (SELECT FROM unnest(runs) r WHERE length(r) > 2);
END
$$;

-- Does a text that has all the words hold the runs and phrases as well? Nothing in a run has a lower case, so runs need no folding.
CREATE FUNCTION search_holds(body text, runs text[], phrases text[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	head   text := search_head(body);
	folded text;
	spaced text;
BEGIN
	FOR i IN 1 .. cardinality(runs) LOOP
		IF strpos(head, runs[i]) = 0 THEN
			RETURN false;
		END IF;
	END LOOP;
	FOR i IN 1 .. cardinality(phrases) LOOP
		IF octet_length(phrases[i]) = length(phrases[i]) THEN -- the usual one, and quicker
			folded := coalesce(folded, lower(head COLLATE "C"));
			IF folded COLLATE "C" !~ ('(^|[^0-9a-z])' || replace(btrim(phrases[i]), ' ', '[^0-9a-z]+') || '([^0-9a-z]|$)') THEN
				RETURN false;
			END IF;
			CONTINUE;
		END IF;
		spaced := coalesce(spaced, ' ' || replace(search_spaced(search_fold(head)), E'\1', '') || ' ');
		IF strpos(spaced, phrases[i]) = 0 THEN
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END
$$;

-- The first place, from a character on, where a word with this stem begins, and how long it is; n_chars 0: there is none.
CREATE FUNCTION search_place(folded text, stem text, INOUT place integer, OUT n_chars integer) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	ascii     boolean := stem COLLATE "C" ~ '^[0-9a-z]+$';
	beginning text := CASE WHEN length(stem) > 2 THEN rtrim(stem, 'eiy') ELSE stem END;
	word      text;
	step      integer;
BEGIN
	FOR tries IN 1 .. 20 LOOP
		step := strpos(CASE WHEN place = 1 THEN folded ELSE substr(folded, place) END, beginning);
		EXIT WHEN step = 0;
		place := place + step - 1;
		word := substr(folded, greatest(place - 1, 1), 80);
		word := CASE WHEN ascii THEN substring(word COLLATE "C" FROM CASE WHEN place = 1 THEN '^([0-9a-z]+)' ELSE '^[^0-9a-z]([0-9a-z]+)' END)
			WHEN place = 1 OR search_spaced(left(word, 1)) = '' OR search_spaced(left(word, 1)) LIKE E'\1%'
			THEN split_part(search_spaced(CASE WHEN place = 1 THEN word ELSE substr(word, 2) END), ' ', 1) END;
		IF word = stem OR search_stem(word) = stem THEN
			n_chars := length(word);
			RETURN;
		END IF;
		place := place + length(beginning);
	END LOOP;
	n_chars := 0;
END
$$;

-- Some 120 characters around the first match, with a sign at either end for what was left out; folded is the same as it is compared.
CREATE FUNCTION search_snippet(body text, runs text[], stems text[], OUT snippet text, OUT folded text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	head   text := search_head(body);
	begins integer;
	place  record;
BEGIN
	folded := lower(head COLLATE "C"); -- nearly always enough, and much quicker
	FOR turn IN 1 .. 2 LOOP
		FOR i IN 1 .. cardinality(runs) LOOP
			begins := least(begins, nullif(strpos(folded, runs[i]), 0));
		END LOOP;
		FOR i IN 1 .. cardinality(stems) LOOP
			place := search_place(folded, stems[i], 1);
			IF place.n_chars > 0 THEN
				begins := least(begins, place.place);
			END IF;
		END LOOP;
		EXIT WHEN begins IS NOT NULL OR octet_length(head) = length(head);
		folded := search_fold(head);
	END LOOP;
	begins := greatest(coalesce(begins, 1) - 40, 1);
	snippet := translate(substr(head, begins, 120), E'\n\r\t', '   ');
	folded := translate(substr(folded, begins, 120), E'\n\r\t', '   ');
	IF begins > 1 THEN
		snippet := '…' || snippet;
		folded := '…' || folded;
	END IF;
	IF length(substr(head, begins, 121)) > 120 OR octet_length(body) > octet_length(head) THEN
		snippet := snippet || '…';
	END IF;
END
$$;

-- The words of an owner's messages are kept in slices of 2048 entries. Each word is stored with the name of its slice before it, so that the
-- index never leads to what is somebody else's, and the newest slice can be asked first.
CREATE TABLE search_slices (
	id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	owner_id  uuid NOT NULL,
	n_entries integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX search_slices_owner ON search_slices (owner_id, id DESC);

CREATE TABLE search_entries (
	id         uuid PRIMARY KEY,     -- of the message; of the session, for its title
	session_id uuid NOT NULL,
	slice_id   bigint NOT NULL,
	title      text,                 -- as it was; NULL: this is a message
	ended_at   timestamptz NOT NULL, -- of the message, as it was: another ending comes in its place
	n_words    integer NOT NULL,
	words      tsvector NOT NULL
);
-- Candidates are ranked without a look at their words: those stay out of the way.
ALTER TABLE search_entries SET (toast_tuple_target = 128);
CREATE INDEX search_entries_session ON search_entries (session_id);
-- No list of pending entries: every search would read all of it.
CREATE INDEX search_entries_words ON search_entries USING gin (words) WITH (fastupdate = off);

-- How far the index is: all messages that ended before this are in it. Whoever adds to it holds the row; another host then does nothing.
CREATE TABLE search_state (
	one  boolean PRIMARY KEY DEFAULT true CHECK (one),
	upto timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO search_state DEFAULT VALUES;

-- Sessions whose title is to be looked at. Those that a turn makes are not: their titles go with their messages.
CREATE TABLE search_titles_due (
	n          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	session_id uuid NOT NULL
);

CREATE FUNCTION search_title_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO search_titles_due (session_id) VALUES (NEW.id);
	RETURN NULL;
END
$$;
CREATE TRIGGER chat_sessions_titled AFTER UPDATE OF title ON chat_sessions FOR EACH ROW
	WHEN (OLD.title IS DISTINCT FROM NEW.title) EXECUTE FUNCTION search_title_changed();
CREATE TRIGGER chat_sessions_made AFTER INSERT ON chat_sessions FOR EACH ROW
	WHEN (NEW.message_count = 0 AND NEW.title <> '') EXECUTE FUNCTION search_title_changed();

-- No foreign key: adding to the index must lock nobody's rows.
CREATE FUNCTION search_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM search_entries WHERE session_id IN (SELECT id FROM gone);
	RETURN NULL;
END
$$;
CREATE TRIGGER chat_sessions_forgotten AFTER DELETE ON chat_sessions REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
	EXECUTE FUNCTION search_forget();

CREATE FUNCTION search_add(entry uuid, of_session uuid, owner uuid, of_title text, ended timestamptz, body text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	slice bigint := (SELECT CASE WHEN s.n_entries < 2048 THEN s.id END FROM search_slices s WHERE s.owner_id = owner ORDER BY s.id DESC LIMIT 1);
	list  text[];
	words tsvector;
BEGIN
	IF slice IS NULL THEN
		INSERT INTO search_slices (owner_id) VALUES (owner) RETURNING id INTO slice;
	END IF;
	UPDATE search_slices SET n_entries = n_entries + 1 WHERE id = slice;
	BEGIN
		list := search_words(body);
		words := array_to_tsvector(ARRAY(SELECT to_hex(slice) || '.' || w FROM unnest(list) w));
	EXCEPTION WHEN OTHERS THEN -- one text that cannot be taken apart must not hold up all others
		RAISE WARNING 'search: % cannot be indexed: %', entry, SQLSTATE;
		list := '{}';
		words := '';
	END;
	INSERT INTO search_entries VALUES (entry, of_session, slice, of_title, ended, cardinality(list), words)
		ON CONFLICT (id) DO UPDATE SET slice_id = EXCLUDED.slice_id, title = EXCLUDED.title, ended_at = EXCLUDED.ended_at,
			n_words = EXCLUDED.n_words, words = EXCLUDED.words;
END
$$;

-- A session's title, if it is not in the index as it is.
CREATE FUNCTION search_add_title(of_session uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	SELECT c.user_id, c.title, e.title AS known INTO s FROM chat_sessions c LEFT JOIN search_entries e ON e.id = c.id WHERE c.id = of_session;
	IF FOUND AND s.title IS DISTINCT FROM coalesce(s.known, '') THEN
		PERFORM search_add(of_session, of_session, s.user_id, s.title, now(), s.title);
	END IF;
END
$$;

-- Adds at most so many messages and titles, and about a megabyte. Returns how many; most if there may be more.
--
-- Rows become visible out of order: whoever wrote now() into ended_at commits later. So the index is complete only up to the beginning of
-- the oldest transaction that is still going on (and ten minutes at most: somebody may have forgotten one); what ended after that is
-- looked at again.
CREATE FUNCTION search_index(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	since   timestamptz;
	horizon timestamptz;
	reached timestamptz;
	owner   uuid;
	m       record;
	added   integer := 0;
	n_bytes bigint := 0;
BEGIN
	SELECT upto INTO since FROM search_state WHERE one FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	FOR m IN DELETE FROM search_titles_due d WHERE d.n IN (SELECT e.n FROM search_titles_due e ORDER BY e.n LIMIT most) RETURNING d.session_id LOOP
		PERFORM search_add_title(m.session_id);
		added := added + 1;
	END LOOP;
	SELECT greatest(least(now(), min(a.xact_start)) - interval '1 second', now() - interval '10 minutes') INTO horizon FROM pg_stat_activity a
		WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid();
	FOR m IN
		SELECT c.id, c.session_id, c.content, c.ended_at FROM chat_messages c WHERE c.ended_at >= since AND c.content <> '' ORDER BY c.ended_at
	LOOP
		IF added >= most OR n_bytes > 1048576 THEN
			reached := m.ended_at;
			added := most;
			EXIT;
		END IF;
		CONTINUE WHEN EXISTS (SELECT FROM search_entries e WHERE e.id = m.id AND e.ended_at = m.ended_at);
		SELECT user_id INTO owner FROM chat_sessions WHERE id = m.session_id;
		CONTINUE WHEN NOT FOUND;
		PERFORM search_add(m.id, m.session_id, owner, NULL, m.ended_at, m.content);
		PERFORM search_add_title(m.session_id);
		added := added + 1;
		n_bytes := n_bytes + least(octet_length(m.content), 65536);
	END LOOP;
	UPDATE search_state SET upto = greatest(since, least(reached, horizon)) WHERE one AND upto < least(reached, horizon);
	RETURN added;
END
$$;
