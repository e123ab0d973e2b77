/* The table and the JSON. */
#include "ctl/user_list.h"

#include <stdio.h>

#include "base/json.h"
#include "ctl/accounts.h"
#include "ctl/args.h"
#include "db/users.h"

enum { PAGE = 1000 };
#define PAGE_TEXT "1000"

static void put_line(const char *name, const char *role, const char *active, const char *last_login, const char *created, const char *email)
{
	size_t n_chars = utf8_count(str_from(name));

	/* printf counts bytes, people see characters. */
	printf("%s%*s  %-5s  %-6s  %-24s  %-24s  %s\n", name, n_chars < 20 ? (int)(20 - n_chars) : 0, "", role, active, last_login, created,
	       email);
}

static const char *or_dash(const char *value)
{
	return *value ? value : "-";
}

static void put_row(const struct pg_result *rows, size_t i)
{
	put_line(pg_sync_value(rows, i, ACCOUNT_USERNAME), pg_sync_value(rows, i, ACCOUNT_ROLE),
		 *pg_sync_value(rows, i, ACCOUNT_IS_ACTIVE) == 't' ? "yes" : "no", or_dash(pg_sync_value(rows, i, ACCOUNT_LAST_LOGIN_AT)),
		 pg_sync_value(rows, i, ACCOUNT_CREATED_AT), or_dash(pg_sync_value(rows, i, ACCOUNT_EMAIL)));
}

static void put_json(struct json_writer *w, const struct pg_result *rows, size_t i)
{
	static const struct {
		const char *key;
		size_t col;
	} texts[] = {
		{"id", ACCOUNT_ID},     {"username", ACCOUNT_USERNAME},         {"email", ACCOUNT_EMAIL},
		{"role", ACCOUNT_ROLE}, {"lastLoginAt", ACCOUNT_LAST_LOGIN_AT}, {"createdAt", ACCOUNT_CREATED_AT},
	};

	json_open(w, '{');
	for (size_t k = 0; k < N_ELEMENTS(texts); k++) {
		const char *value = pg_sync_value(rows, i, texts[k].col);

		json_key(w, texts[k].key);
		if (*value)
			json_put_str(w, str_from(value));
		else
			json_put_null(w);
	}
	json_key(w, "isActive");
	json_put_bool(w, *pg_sync_value(rows, i, ACCOUNT_IS_ACTIVE) == 't');
	json_close(w, '}');
}

static void put_page(const struct pg_result *rows, struct json_writer *w)
{
	for (size_t i = 0; i < pg_sync_n_rows(rows); i++) {
		if (w)
			put_json(w, rows, i);
		else
			put_row(rows, i);
	}
	if (w) {
		fwrite(w->out->p, 1, w->out->len, stdout);
		w->out->len = 0;
	}
}

/* Page by page, each beginning behind the last name of the one before. */
static int put_users(struct accounts *a, struct json_writer *w)
{
	struct account last = {.username = ""};
	size_t n;

	do {
		const char *const params[] = {last.username, PAGE_TEXT};
		struct pg_result *rows = accounts_run(a, &users_list_after_statement, N_ELEMENTS(params), params);

		if (!rows)
			return EXIT_FAILED;
		n = pg_sync_n_rows(rows);
		if (!w && !*last.username)
			put_line("NAME", "ROLE", "ACTIVE", "LAST LOGIN", "CREATED", "EMAIL");
		put_page(rows, w);
		if (n > 0)
			snprintf(last.username, sizeof(last.username), "%s", pg_sync_value(rows, n - 1, ACCOUNT_USERNAME));
		pg_sync_free(rows);
	} while (n == PAGE);
	return EXIT_FINE;
}

int user_list(struct accounts *a)
{
	return put_users(a, NULL);
}

int user_list_json(struct accounts *a)
{
	struct buf out = {NULL, 0, 0};
	struct json_writer w = {.out = &out};
	int status;

	json_open(&w, '[');
	status = put_users(a, &w);
	json_close(&w, ']');
	if (status == EXIT_FINE)
		printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_fini(&out);
	return status;
}
