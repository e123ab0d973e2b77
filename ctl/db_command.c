/* db status is in ctl/db_status.c; db explain is here. */
#include "ctl/db_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/accounts.h"
#include "ctl/args.h"
#include "ctl/db_status.h"
#include "db/query.h"
#include "db/statements.h"

const char db_help[] =
	"db status          version, size, connections, pending migrations, transactions, dead rows, indexes, replicas, settings;\n"
	"                   exit 1 if a migration is pending or an index is invalid\n"
	"db explain         the names of the program's statements\n"
	"db explain NAME    the plan PostgreSQL has for one, whatever its parameters; nothing is run\n"
	"  --sql            its text instead, for EXPLAIN (ANALYZE) by hand\n";

/* ---- explain ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int print_names(void)
{
	size_t n = 0;
	const char **names;

	while (statements_at(n))
		n++;
	names = mem_alloc(n * sizeof(*names));
	for (size_t i = 0; i < n; i++)
		names[i] = statements_at(i)->name;
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++)
		puts(names[i]);
	free(names);
	return EXIT_FINE;
}

static bool run(struct accounts *a, const char *sql)
{
	return pg_sync_run(a->db, sql, &a->error);
}

/* EXECUTE with NULL for each parameter: a generic plan does not look at them. */
static struct pg_result *explain_prepared(struct accounts *a, const struct statement *stmt)
{
	struct buf sql = {0};
	struct pg_result *rows = NULL;

	buf_printf(&sql, "PREPARE \"%s\" AS %s%c", stmt->name, stmt->sql, '\0');
	if (run(a, sql.p)) {
		sql.len = 0;
		buf_printf(&sql, "EXPLAIN EXECUTE \"%s\"", stmt->name);
		for (int i = 0; i < stmt->n_params; i++)
			buf_add_cstr(&sql, i == 0 ? "(NULL" : ", NULL");
		if (stmt->n_params)
			buf_add_char(&sql, ')');
		rows = pg_sync_query(a->db, buf_str(&sql), 0, NULL, &a->error);
	}
	buf_fini(&sql);
	return rows;
}

/* With what responders ask for when they connect (db/pg.c). In a transaction, so that it is one server's also behind a pooler. */
static int explain(struct accounts *a, const struct statement *stmt)
{
	static const char *const settings[] = {"BEGIN READ ONLY", "SET LOCAL plan_cache_mode = force_generic_plan",
					       "SET LOCAL enable_seqscan = off", "SET LOCAL jit = off"};
	struct pg_result *rows = NULL;
	size_t done = 0;

	while (done < N_ELEMENTS(settings) && run(a, settings[done]))
		done++;
	if (done == N_ELEMENTS(settings))
		rows = explain_prepared(a, stmt);
	if (!rows)
		return args_fail("%s cannot be explained: %s", stmt->name, a->error.text);
	for (size_t i = 0; i < pg_sync_n_rows(rows); i++)
		puts(pg_sync_value(rows, i, 0));
	pg_sync_free(rows);
	if (!run(a, "DEALLOCATE ALL") || !run(a, "ROLLBACK"))
		return args_fail("The connection was lost: %s", a->error.text);
	return EXIT_FINE;
}

static int explain_command(const struct args *args)
{
	const struct statement *stmt;
	struct accounts a;
	bool text = false;
	const char *name = NULL;
	int status;

	for (int i = 1; i < args->n; i++) {
		if (strcmp(args->words[i], "--sql") == 0)
			text = true;
		else if (!name && args->words[i][0] != '-')
			name = args->words[i];
		else
			return args_refuse("db explain does not know %s.", args->words[i]);
	}
	if (!name)
		return text ? args_refuse("Which statement?") : print_names();
	stmt = statements_find(str_from(name));
	if (!stmt)
		return args_refuse("There is no statement %s; db explain alone lists them.", name);
	if (text) {
		printf("%s\n", stmt->sql);
		return EXIT_FINE;
	}
	status = accounts_open(&a, args);
	if (status == EXIT_FINE)
		status = explain(&a, stmt);
	accounts_close(&a);
	return status;
}

/* ---- the command ---- */

int db_command(const struct args *args)
{
	struct accounts a;
	int status;

	if (args->n == 0)
		return args_refuse("db needs an action: status or explain.");
	if (strcmp(args->words[0], "explain") == 0)
		return explain_command(args);
	if (strcmp(args->words[0], "status") != 0)
		return args_refuse("db does not know %s.", args->words[0]);
	if (args->n > 1)
		return args_refuse("db status takes no arguments.");
	status = accounts_open(&a, args);
	if (status == EXIT_FINE)
		status = db_status(&a);
	accounts_close(&a);
	return status;
}
