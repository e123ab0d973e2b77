/* Blocking libpq. */
#include "ctl/pg_sync.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/conf.h"
#include "base/mem.h"

struct pg_sync {
	PGconn *conn; /* owned */
};

static void print_notice(void *arg, const char *message)
{
	(void)arg;
	fputs(message, stderr);
}

/* libpq's last words about the connection, on one line after the other. */
static void explain_conn(const PGconn *conn, struct pg_sync_error *e)
{
	const char *text = PQerrorMessage(conn);
	size_t len = strlen(text);

	while (len && text[len - 1] == '\n')
		len--;
	e->position = 0;
	e->sqlstate[0] = e->constraint[0] = '\0';
	snprintf(e->text, sizeof(e->text), "%.*s", (int)len, text);
}

static void explain_result(const PGconn *conn, const PGresult *result, struct pg_sync_error *e)
{
	static const struct {
		int code;
		const char *label;
	} parts[] = {{PG_DIAG_MESSAGE_DETAIL, "DETAIL"}, {PG_DIAG_MESSAGE_HINT, "HINT"}, {PG_DIAG_CONTEXT, "CONTEXT"}};
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	size_t used;

	if (!message || !sqlstate) { /* the connection is lost */
		explain_conn(conn, e);
		return;
	}
	e->position = position ? strtoul(position, NULL, 10) : 0;
	snprintf(e->sqlstate, sizeof(e->sqlstate), "%s", sqlstate);
	snprintf(e->constraint, sizeof(e->constraint), "%s", constraint ? constraint : "");
	used = (size_t)snprintf(e->text, sizeof(e->text), "%s (%s)", message, sqlstate);
	for (size_t i = 0; i < N_ELEMENTS(parts) && used < sizeof(e->text); i++) {
		const char *part = PQresultErrorField(result, parts[i].code);

		if (part)
			used += (size_t)snprintf(e->text + used, sizeof(e->text) - used, "\n  %s: %s", parts[i].label, part);
	}
}

struct pg_sync *pg_sync_open(const struct conf *conf, struct pg_sync_error *e)
{
	struct pg_sync *db = mem_alloc(sizeof(*db));
	char port[24], timeout_s[24];
	const char *const pairs[][2] = {
		{"host", conf->db_host},        {"port", port},
		{"user", conf->db_user},        {"password", *conf->db_password ? conf->db_password : NULL},
		{"dbname", conf->db_name},      {"sslmode", conf->db_sslmode},
		{"connect_timeout", timeout_s}, {"gssencmode", "disable"},
		{"client_encoding", "UTF8"},    {"application_name", "llmchatctl"},
	};
	const char *keywords[N_ELEMENTS(pairs) + 1] = {NULL}, *values[N_ELEMENTS(pairs) + 1] = {NULL};

	snprintf(port, sizeof(port), "%" PRId64, conf->db_port);
	snprintf(timeout_s, sizeof(timeout_s), "%" PRId64, (conf->db_connection_timeout_ms + 999) / 1000);
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		keywords[i] = pairs[i][0];
		values[i] = pairs[i][1];
	}
	db->conn = PQconnectdbParams(keywords, values, 0);
	if (PQstatus(db->conn) == CONNECTION_OK) {
		PQsetNoticeProcessor(db->conn, print_notice, NULL);
		return db;
	}
	explain_conn(db->conn, e);
	pg_sync_close(db);
	return NULL;
}

void pg_sync_close(struct pg_sync *db)
{
	if (!db)
		return;
	PQfinish(db->conn);
	free(db);
}

/* Takes over result. */
static PGresult *checked(const struct pg_sync *db, PGresult *result, struct pg_sync_error *e)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
		return result;
	explain_result(db->conn, result, e);
	PQclear(result);
	return NULL;
}

static char *to_cstr(struct str s)
{
	char *copy = mem_alloc(s.len + 1);

	if (s.len)
		memcpy(copy, s.p, s.len);
	return copy;
}

bool pg_sync_script(struct pg_sync *db, struct str sql, struct pg_sync_error *e)
{
	char *text = to_cstr(sql);
	PGresult *result = checked(db, PQexec(db->conn, text), e);
	bool fine = result != NULL;

	free(text);
	PQclear(result);
	return fine;
}

struct pg_result *pg_sync_query(struct pg_sync *db, struct str sql, int n_params, const char *const *params, struct pg_sync_error *e)
{
	char *text = to_cstr(sql);
	PGresult *result = checked(db, PQexecParams(db->conn, text, n_params, NULL, params, NULL, NULL, 0), e);

	free(text);
	return result;
}

bool pg_sync_run(struct pg_sync *db, const char *sql, struct pg_sync_error *e)
{
	struct pg_result *rows = pg_sync_query(db, str_from(sql), 0, NULL, e);
	bool fine = rows != NULL;

	pg_sync_free(rows);
	return fine;
}

bool pg_sync_is_pooled(struct pg_sync *db, bool *pooled, struct pg_sync_error *e)
{
	struct pg_result *rows = pg_sync_query(db, STR("SELECT pg_backend_pid()"), 0, NULL, e);

	if (!rows)
		return false;
	*pooled = PQbackendPID(db->conn) != (int)strtol(pg_sync_value(rows, 0, 0), NULL, 10);
	pg_sync_free(rows);
	return true;
}

bool pg_sync_in_transaction(const struct pg_sync *db)
{
	return PQtransactionStatus(db->conn) == PQTRANS_INTRANS;
}

void pg_sync_free(struct pg_result *rows)
{
	PQclear(rows);
}

size_t pg_sync_n_rows(const struct pg_result *rows)
{
	return (size_t)PQntuples(rows);
}

const char *pg_sync_value(const struct pg_result *rows, size_t row, size_t col)
{
	return PQgetvalue(rows, (int)row, (int)col);
}
