/* PostgreSQL for llmchatctl: one connection that waits for each answer. Never part of a responder. */
#pragma once
#include "base/str.h"

struct conf;
struct pg_result;
struct pg_sync;

enum { PG_SYNC_TEXT_SIZE = 2048, PG_SYNC_SQLSTATE_SIZE = 6, PG_SYNC_NAME_SIZE = 64 };

/* Why something failed. */
struct pg_sync_error {
	size_t position; /* of the character (from 1) in the SQL text; 0: PostgreSQL gives none */
	char text
		[PG_SYNC_TEXT_SIZE]; /* message, detail and hint, each a line of its own, without the last newline; a detail may show values */
	char sqlstate[PG_SYNC_SQLSTATE_SIZE]; /* empty: there is no connection, or it was lost */
	char constraint[PG_SYNC_NAME_SIZE];   /* the violated one; empty: none */
};

/* Connects to the database of conf. NULL with e set on failure. */
struct pg_sync *pg_sync_open(const struct conf *conf, struct pg_sync_error *e);
void pg_sync_close(struct pg_sync *db);

/* Runs the statements of sql as they stand in a file. False with e set if one fails; then the rest is not run. */
MUST_CHECK bool pg_sync_script(struct pg_sync *db, struct str sql, struct pg_sync_error *e);
/* Runs exactly one statement with text parameters (NULL: NULL). NULL with e set on failure; free the rows with pg_sync_free. */
MUST_CHECK struct pg_result *pg_sync_query(struct pg_sync *db, struct str sql, int n_params, const char *const *params,
					   struct pg_sync_error *e);
/* The same for statements whose rows do not matter. */
MUST_CHECK bool pg_sync_run(struct pg_sync *db, const char *sql, struct pg_sync_error *e);
/* Does a pooler (PgBouncer, Odyssey, pgcat …) stand between us and PostgreSQL? It makes up the process id that it tells its clients, for it
 * answers their cancels itself. False with e set if that cannot be found out. */
MUST_CHECK bool pg_sync_is_pooled(struct pg_sync *db, bool *pooled, struct pg_sync_error *e);
/* Is a transaction open, and in order? */
bool pg_sync_in_transaction(const struct pg_sync *db);

void pg_sync_free(struct pg_result *rows);
size_t pg_sync_n_rows(const struct pg_result *rows);
/* Empty for NULL; valid until pg_sync_free. */
const char *pg_sync_value(const struct pg_result *rows, size_t row, size_t col);
