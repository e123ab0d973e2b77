/* Reading, checking and showing the configuration. */
#include "base/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/account_rules.h"
#include "base/log.h"
#include "base/mem.h"

enum conf_kind { KIND_TEXT, KIND_INT, KIND_NUMBER, KIND_BOOL };
enum conf_flag { FLAG_PLAIN, FLAG_SECRET };
enum { MAX_LINE = 8192, MIN_SECRET = 32, MAX_SHOWN = 200 };

static const struct row {
	enum conf_kind kind;
	size_t offset;
	const char *name, *otherwise;
	double min, max;
	enum conf_flag flag;
	const char *doc;
} rows[] = {
#define X(kind, field, name, otherwise, min, max, flag, doc) \
	{KIND_##kind, offsetof(struct conf, field), name, otherwise, (double)(min), (double)(max), FLAG_##flag, doc},
	CONF_TABLE(X)
#undef X
};

struct conf_entry {
	struct conf_entry *next;
	char *name, *value; /* owned */
};

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Cuts the value at its closing quote, or without quotes before a blank and #. False if a quote is left open. */
static bool unquote(char **value)
{
	char *p = *value, quote = *p, *end;

	if (quote == '"' || quote == '\'') {
		end = strchr(p + 1, quote);
		if (!end)
			return false;
		*value = p + 1;
	} else {
		for (end = p; *end; end++)
			if (*end == '#' && (end == p || end[-1] == ' ' || end[-1] == '\t'))
				break;
		while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
	}
	*end = '\0';
	return true;
}

int conf_parse_line(char *line, char **name, char **value)
{
	char *p = line + strlen(line), *equals;

	while (p > line && strchr(" \t\r\n", p[-1]))
		*--p = '\0';
	p = line + strspn(line, " \t");
	if (*p == '\0' || *p == '#')
		return 0;
	if (strncmp(p, "export ", 7) == 0)
		p += 7 + strspn(p + 7, " \t");
	*name = p;
	while (is_name_char(*p))
		p++;
	equals = p + strspn(p, " \t");
	if (p == *name || *equals != '=')
		return -1;
	*p = '\0';
	*value = equals + 1 + strspn(equals + 1, " \t");
	return unquote(value) ? 1 : -1;
}

/* Edit distance, up to 3; names are short. */
static unsigned distance(const char *a, const char *b)
{
	enum { MAX_NAME = 64 };
	unsigned row[MAX_NAME + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > MAX_NAME || lb > MAX_NAME || la + 3 < lb || lb + 3 < la)
		return 3;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[lb];
}

static const struct row *row_named(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

/* The row whose name was probably meant: the nearest one. */
static const struct row *row_near(const char *name)
{
	size_t len = strlen(name);
	unsigned nearest = len >= 10 ? 3 : len >= 6 ? 2 : 0; /* it must be nearer than this */
	const struct row *near = NULL;

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		unsigned d = distance(rows[i].name, name);

		if (d < nearest) {
			nearest = d;
			near = &rows[i];
		}
	}
	return near;
}

static const char *entry_value(const struct conf_entry *e, const char *name)
{
	for (; e; e = e->next)
		if (strcmp(e->name, name) == 0)
			return e->value;
	return NULL;
}

static int read_file(struct conf *conf, const char *path, char *why, size_t why_size)
{
	FILE *f = fopen(path, "re");
	char line[MAX_LINE];
	int result = -1;
	struct stat st;

	if (!f || fstat(fileno(f), &st) != 0) {
		snprintf(why, why_size, "The env file %s cannot be read: %s.", path, strerror(errno));
		goto out;
	}
	if (st.st_mode & (S_IROTH | S_IWOTH)) {
		snprintf(why, why_size, "The env file %s holds secrets, but others may read it; please run: chmod 640 %s", path, path);
		goto out;
	}
	for (unsigned n = 1; fgets(line, sizeof(line), f); n++) {
		const struct row *near;
		struct conf_entry *e;
		char *name, *value;
		int kind = strchr(line, '\n') || feof(f) ? conf_parse_line(line, &name, &value) : -1;

		if (kind == 0)
			continue;
		if (kind < 0) {
			snprintf(why, why_size, "%s, line %u, is not NAME=value.", path, n);
			goto out;
		}
		near = row_named(name) ? NULL : row_near(name);
		if (near) {
			snprintf(why, why_size, "%s, line %u: there is no %s; did you mean %s?", path, n, name, near->name);
			goto out;
		}
		e = mem_alloc(sizeof(*e));
		*e = (struct conf_entry){conf->file, strdup(name), strdup(value)}; /* newest first: the last line wins */
		conf->file = e;
	}
	if (ferror(f)) /* a directory, for instance */
		snprintf(why, why_size, "The env file %s cannot be read: %s.", path, strerror(errno));
	else
		result = 0;
out:
	if (f)
		fclose(f);
	return result;
}

const char *conf_lookup(const struct conf *conf, const char *name)
{
	const char *value = getenv(name);

	return value ? value : entry_value(conf->file, name);
}

const char *conf_lookup_public(const struct conf *conf, const char *name)
{
	const struct row *row = row_named(name);

	return row && row->flag == FLAG_SECRET ? NULL : conf_lookup(conf, name);
}

static bool parse_bool(const char *s, bool *out)
{
	static const char *const words[][2] = {{"false", "true"}, {"off", "on"}, {"no", "yes"}, {"0", "1"}};

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		for (size_t j = 0; j < 2; j++) {
			if (str_eq_nocase(str_from(s), str_from(words[i][j]))) {
				*out = j == 1;
				return true;
			}
		}
	}
	return false;
}

static bool in_range(const struct row *row, double d)
{
	return d >= row->min && d <= row->max;
}

static bool set_field(struct conf *conf, const struct row *row, const char *value)
{
	void *field = (char *)conf + row->offset;
	int64_t n;
	double d;

	switch (row->kind) {
	case KIND_TEXT:
		if (!utf8_valid(str_from(value)) || !in_range(row, (double)strlen(value)))
			return false;
		*(const char **)field = value;
		return true;
	case KIND_INT:
		if (!str_to_i64(str_from(value), &n) || !in_range(row, (double)n))
			return false;
		*(int64_t *)field = n;
		return true;
	case KIND_NUMBER:
		if (!str_to_double(str_from(value), &d) || !in_range(row, d))
			return false;
		*(double *)field = d;
		return true;
	case KIND_BOOL: return parse_bool(value, field);
	}
	return false;
}

static void explain(const struct row *row, const char *value, char *why, size_t why_size)
{
	bool show = row->flag != FLAG_SECRET && strlen(value) <= MAX_SHOWN && utf8_valid(str_from(value));
	const char *shown = show ? value : "(not shown)";

	switch (row->kind) {
	case KIND_TEXT:
		snprintf(why, why_size, "%s is %s: it must be UTF-8 text of %.0f to %.0f bytes.", row->name, shown, row->min, row->max);
		break;
	case KIND_INT:
		snprintf(why, why_size, "%s is %s: it must be a whole number from %.0f to %.0f.", row->name, shown, row->min, row->max);
		break;
	case KIND_NUMBER:
		snprintf(why, why_size, "%s is %s: it must be a number from %g to %g.", row->name, shown, row->min, row->max);
		break;
	case KIND_BOOL: snprintf(why, why_size, "%s is %s: it must be true or false (also on, off, yes, no, 1, 0).", row->name, shown); break;
	}
}

static bool one_of(const char *value, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(value, *words) == 0)
			return true;
	return false;
}

/* The first administrator is made of both or of none. */
static bool admin_consistent(const struct conf *conf, char *why, size_t why_size)
{
	struct str name = str_from(conf->admin_username), password = str_from(conf->admin_password);
	const char *problem;

	if (name.len == 0 && password.len == 0)
		return true;
	if (name.len == 0 || password.len == 0) {
		snprintf(why, why_size, "%s is missing: ADMIN_USERNAME and ADMIN_PASSWORD go together.", name.len ? "ADMIN_PASSWORD" : "ADMIN_USERNAME");
		return false;
	}
	problem = username_problem(name);
	if (problem)
		snprintf(why, why_size, "ADMIN_USERNAME: %s", problem);
	else if ((problem = password_problem(password)))
		snprintf(why, why_size, "ADMIN_PASSWORD: %s", problem);
	return !problem;
}

/* What one row alone cannot say. */
static bool consistent(const struct conf *conf, char *why, size_t why_size)
{
	static const char *const sslmodes[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", NULL};
	enum log_level level;

	if (strlen(conf->token_secret) < MIN_SECRET)
		snprintf(why, why_size, "TOKEN_SECRET is required and must have at least %d bytes; `openssl rand -base64 48` makes one.", MIN_SECRET);
	else if (*conf->token_secret_previous && strlen(conf->token_secret_previous) < MIN_SECRET)
		snprintf(why, why_size, "TOKEN_SECRET_PREVIOUS must be empty or have at least %d bytes.", MIN_SECRET);
	else if (*conf->secrets_key && strlen(conf->secrets_key) < MIN_SECRET)
		snprintf(why, why_size, "SECRETS_KEY must have at least %d bytes; `openssl rand -base64 48` makes one.", MIN_SECRET);
	else if (*conf->secrets_key_previous && strlen(conf->secrets_key_previous) < MIN_SECRET)
		snprintf(why, why_size, "SECRETS_KEY_PREVIOUS must be empty or have at least %d bytes.", MIN_SECRET);
	else if (!one_of(conf->db_sslmode, sslmodes))
		snprintf(why, why_size, "DB_SSLMODE is %s: it must be disable, allow, prefer, require, verify-ca or verify-full.", conf->db_sslmode);
	else if (!log_level_from(str_from(conf->log_level), &level))
		snprintf(why, why_size, "LOG_LEVEL is %s: it must be debug, info, warn or error.", conf->log_level);
	else if (conf->db_min_connections > conf->db_max_connections)
		snprintf(why, why_size, "DB_MIN_CONNECTIONS is %" PRId64 ": it must not be above DB_MAX_CONNECTIONS, which is %" PRId64 ".",
			 conf->db_min_connections, conf->db_max_connections);
	else if (conf->responders > conf->db_max_connections - 2)
		snprintf(why, why_size, "DB_MAX_CONNECTIONS is %" PRId64 ": two are kept aside, so it is too small for %" PRId64 " responders.",
			 conf->db_max_connections, conf->responders);
	else if (conf->refresh_token_ttl_s < conf->access_token_ttl_s)
		snprintf(why, why_size, "REFRESH_TOKEN_TTL is %" PRId64 ": it must not be below ACCESS_TOKEN_TTL, which is %" PRId64 ".",
			 conf->refresh_token_ttl_s, conf->access_token_ttl_s);
	else if (conf->retry_max_ms < conf->retry_base_ms)
		snprintf(why, why_size, "RETRY_MAX_DELAY is %" PRId64 ": it must not be below RETRY_BASE_DELAY, which is %" PRId64 ".",
			 conf->retry_max_ms, conf->retry_base_ms);
	else
		return admin_consistent(conf, why, why_size);
	return false;
}

int conf_load(struct conf *conf, const char *path, char *why, size_t why_size)
{
	*conf = (struct conf){0};
	if (path && read_file(conf, path, why, why_size) != 0)
		return -1;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const char *value = conf_lookup(conf, rows[i].name);

		if (!value)
			value = rows[i].otherwise;
		if (!set_field(conf, &rows[i], value)) {
			explain(&rows[i], value, why, why_size);
			return -1;
		}
	}
	if (conf->responders == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);

		conf->responders = cores < 2 ? 2 : cores;
	}
	return consistent(conf, why, why_size) ? 0 : -1;
}

void conf_fini(struct conf *conf)
{
	while (conf->file) {
		struct conf_entry *next = conf->file->next;

		free(conf->file->name);
		free(conf->file->value);
		free(conf->file);
		conf->file = next;
	}
}

void conf_print_help(FILE *out)
{
	fprintf(out, "%-34s %-20s %-26s %s\n", "NAME", "DEFAULT", "ALLOWED", "MEANING");
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		char allowed[64];

		switch (row->kind) {
		case KIND_TEXT: snprintf(allowed, sizeof(allowed), "%.0f to %.0f bytes", row->min, row->max); break;
		case KIND_BOOL: snprintf(allowed, sizeof(allowed), "true, false"); break;
		case KIND_INT: snprintf(allowed, sizeof(allowed), "%.0f to %.0f", row->min, row->max); break;
		case KIND_NUMBER: snprintf(allowed, sizeof(allowed), "%g to %g", row->min, row->max); break;
		}
		fprintf(out, "%-34s %-20s %-26s %s\n", row->name, *row->otherwise ? row->otherwise : "(empty)", allowed, row->doc);
	}
}

void conf_print(const struct conf *conf, FILE *out)
{
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const void *field = (const char *)conf + rows[i].offset;

		fprintf(out, "%s=", rows[i].name);
		switch (rows[i].kind) {
		case KIND_TEXT: {
			const char *text = *(const char *const *)field;

			fputs(rows[i].flag == FLAG_PLAIN ? text : *text ? "(set)" : "(not set)", out);
			break;
		}
		case KIND_INT: fprintf(out, "%" PRId64, *(const int64_t *)field); break;
		case KIND_NUMBER: fprintf(out, "%g", *(const double *)field); break;
		case KIND_BOOL: fputs(*(const bool *)field ? "true" : "false", out); break;
		}
		fputc('\n', out);
	}
}

int64_t conf_share(int64_t budget, int64_t n, int64_t slot)
{
	int64_t share = budget / n + (slot <= budget % n);

	return share < 1 ? 1 : share;
}
