/* Connecting, running, explaining. */
#include "ctl/accounts.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/args.h"
#include "db/users.h"

int accounts_open(struct accounts *a, const struct args *args)
{
	int status;

	*a = (struct accounts){.db = NULL};
	status = args_load_conf(args, &a->conf);
	if (status != EXIT_FINE)
		return status;
	a->db = pg_sync_open(&a->conf, &a->error);
	return a->db ? EXIT_FINE : args_fail("The database cannot be reached: %s", a->error.text);
}

void accounts_close(struct accounts *a)
{
	pg_sync_close(a->db);
	conf_fini(&a->conf);
}

static void explain(const struct pg_sync_error *e)
{
	/* clang-format off */
	static const struct {
		const char *sqlstate, *constraint, *sentence;
	} known[] = {
		{"23505", "users_username_key", "The name is taken; letter case makes no difference."},
		{"23505", "users_email_key", "The e-mail address is taken; letter case makes no difference."},
		{"42P01", "", "The database does not have the tables of this version; run: llmchatctl migrate"},
		{"42703", "", "The database does not have the tables of this version; run: llmchatctl migrate"},
	};
	/* clang-format on */

	for (size_t i = 0; i < N_ELEMENTS(known); i++) {
		if (strcmp(e->sqlstate, known[i].sqlstate) == 0 && strcmp(e->constraint, known[i].constraint) == 0) {
			args_fail("%s", known[i].sentence);
			return;
		}
	}
	if (!*e->sqlstate)
		args_fail("The connection to the database was lost, so nobody knows whether it has happened: %s", e->text);
	else
		args_fail("The database refused: %.*s", (int)strcspn(e->text, "\n"), e->text);
}

struct pg_result *accounts_run(struct accounts *a, const struct statement *stmt, size_t n_params, const char *const *params)
{
	struct pg_result *rows;

	assert(n_params == (size_t)stmt->n_params);
	rows = pg_sync_query(a->db, str_from(stmt->sql), stmt->n_params, params, &a->error);

	if (!rows)
		explain(&a->error);
	return rows;
}

bool accounts_do(struct accounts *a, const char *sql)
{
	bool fine = pg_sync_run(a->db, sql, &a->error);

	if (!fine)
		explain(&a->error);
	return fine;
}

int accounts_find(struct accounts *a, const char *username, struct account *user)
{
	struct pg_result *rows;
	bool found;

	if (!utf8_valid(str_from(username)))
		return 0;
	rows = accounts_run(a, &users_find_statement, 1, &username);
	if (!rows)
		return -1;
	found = pg_sync_n_rows(rows) > 0;
	if (found) {
		snprintf(user->id.text, sizeof(user->id.text), "%s", pg_sync_value(rows, 0, ACCOUNT_ID));
		snprintf(user->username, sizeof(user->username), "%s", pg_sync_value(rows, 0, ACCOUNT_USERNAME));
		snprintf(user->role, sizeof(user->role), "%s", pg_sync_value(rows, 0, ACCOUNT_ROLE));
		user->is_active = *pg_sync_value(rows, 0, ACCOUNT_IS_ACTIVE) == 't';
	}
	pg_sync_free(rows);
	return found;
}

int accounts_need(struct accounts *a, const char *username, struct account *user)
{
	int found = accounts_find(a, username, user);

	if (found == 0)
		return args_fail("There is no user %s.", username);
	return found > 0 ? EXIT_FINE : EXIT_FAILED;
}

int accounts_print_secret(struct str text)
{
	fflush(stdout);
	while (text.len > 0) {
		ssize_t n = write(STDOUT_FILENO, text.p, text.len);

		if (n < 0 && errno != EINTR)
			return args_fail("Standard output cannot be written: %s", strerror(errno));
		if (n > 0)
			text = str_skip(text, (size_t)n);
	}
	return EXIT_FINE;
}
