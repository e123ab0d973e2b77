/* Reading config/agents.json. */
#include "chat/agent_seeds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "chat/agent.h"
#include "chat/agent_fields.h"

enum { MAX_FILE_BYTES = 4 * 1024 * 1024 };

static bool read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	do {
		n = fread(buf_reserve(out, 65536), 1, 65536, f);
		out->len += n;
	} while (n > 0 && out->len <= MAX_FILE_BYTES);
	fclose(f);
	return true;
}

/* What is in place of ${…}; then it must be fit to be sent. */
static bool read_key(struct agent_seed *seed, struct str key, const struct conf *conf, struct arena *arena, struct json_complaint *c)
{
	struct str missing;
	const char *problem;

	if (key.len && !agent_expand(key, conf, arena, &key, &missing)) {
		log_warn(NULL, "agent_inactive", "agent", seed->id, "reason", "variable_not_set", "what", missing);
		seed->key_missing = true;
		return true;
	}
	problem = key.len ? agent_key_problem(key) : NULL;
	seed->api_key = key.len ? arena_cstr(arena, key) : NULL;
	return problem ? json_complain(c, "apiKey", "%s", problem) : true;
}

static bool read_seed(const struct json *j, struct agent_seed *seed, const struct conf *conf, struct arena *arena, struct buf *b,
		      struct json_complaint *c)
{
	const struct agent_reading how = {.source = AGENT_OF_FILE, .whole = true};
	struct json_writer w = {.out = b};
	struct agent_said said;

	json_open(&w, '{');
	if (!agent_fields_read(j, &how, &w, &said, c))
		return false;
	if (said.id.len == 0)
		return json_complain(c, "id", "id is required.");
	json_add_str(&w, "id", said.id);
	json_close(&w, '}');
	seed->id = arena_copy(arena, said.id);
	seed->columns = arena_copy(arena, buf_str(b));
	return read_key(seed, said.api_key, conf, arena, c);
}

static void add_seed(struct agent_seeds *seeds, const struct json *j, const struct conf *conf)
{
	struct agent_seed *seed = &seeds->list[seeds->n];
	struct json_complaint complaint = {0};
	struct buf b = {0};

	*seed = (struct agent_seed){.key_missing = false};
	if (read_seed(j, seed, conf, &seeds->arena, &b, &complaint))
		seeds->n++;
	else
		log_error(NULL, "agent_invalid", "agent", json_as_str(json_get(j, "id")), "reason", complaint.sentence);
	buf_fini(&b);
}

static int compare(const void *a, const void *b)
{
	const struct agent_seed *x = a, *y = b;

	return str_compare(x->id, y->id);
}

/* Of those with the same id the one that came first in the file is not told from the others: all but one go. */
static void sort(struct agent_seeds *seeds)
{
	size_t n = 0;

	if (seeds->n > 0)
		qsort(seeds->list, seeds->n, sizeof(*seeds->list), compare);
	for (size_t i = 0; i < seeds->n; i++) {
		if (n > 0 && str_eq(seeds->list[n - 1].id, seeds->list[i].id))
			log_error(NULL, "agent_invalid", "agent", seeds->list[i].id, "reason",
				  "There is another agent of this id in the file.");
		else
			seeds->list[n++] = seeds->list[i];
	}
	seeds->n = n;
}

int agent_seeds_read(struct agent_seeds *seeds, const struct conf *conf, char *why, size_t why_size)
{
	const char *path = conf->agents_config_path, *complaint = "it is larger than 4 MiB.";
	const struct json *list;
	struct buf text = {0};
	struct json *j = NULL;
	int result = -1;

	if (!read_file(path, &text)) {
		log_warn(NULL, "agents_file_missing", "path", path, "errno", errno);
		return 0;
	}
	if (text.len > MAX_FILE_BYTES || json_parse(buf_str(&text), &JSON_CAPS_USER, &j, &complaint) != 0) {
		snprintf(why, why_size, "AGENTS_CONFIG_PATH is %s: %s", path, complaint);
		goto out;
	}
	list = json_get(j, "agents");
	if (json_kind(list) != JSON_ARRAY || json_len(list) > AGENTS_MAX) {
		snprintf(why, why_size, "AGENTS_CONFIG_PATH is %s: it must hold {\"agents\":[…]} with at most %d agents.", path,
			 (int)AGENTS_MAX);
		goto out;
	}
	seeds->list = arena_alloc(&seeds->arena, (json_len(list) + 1) * sizeof(*seeds->list));
	for (size_t i = 0; i < json_len(list); i++)
		add_seed(seeds, json_at(list, i), conf);
	sort(seeds);
	result = 0;
out:
	json_free(j);
	buf_fini(&text);
	return result;
}

void agent_seeds_fini(struct agent_seeds *seeds)
{
	arena_fini(&seeds->arena);
	*seeds = (struct agent_seeds){.n = 0};
}

const struct agent_seed *agent_seeds_find(const struct agent_seeds *seeds, struct str id)
{
	const struct agent_seed wanted = {.id = id};

	return seeds->n ? bsearch(&wanted, seeds->list, seeds->n, sizeof(*seeds->list), compare) : NULL;
}
