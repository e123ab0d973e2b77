/* libpq, driven by the loop. */
#include "db/pg.h"

#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"
#include "db/query.h"

enum { KEEP_SCRATCH_BYTES = 65536, SWOLLEN_BYTES = 1048576, NUMBER_SIZE = 24 };

/* The first line of libpq's last error. It names hosts, roles and databases, never passwords. */
static void explain(const struct pg *pg, char why[PG_WHY_SIZE])
{
	const char *text = pg->result && !pg_result_ok(pg->result) ? pg_result_message(pg->result) : PQerrorMessage(pg->conn);

	snprintf(why, PG_WHY_SIZE, "%.*s", (int)strcspn(text, "\n"), text);
	if (!*why)
		snprintf(why, PG_WHY_SIZE, "the connection was closed");
}

static void lose(struct pg *pg)
{
	char why[PG_WHY_SIZE];

	explain(pg, why);
	pg->events->on_lost(pg->arg, why);
}

static void on_watch(void *arg, int events);

static void watch_socket(struct pg *pg, int events)
{
	watch_init(&pg->watch, pg->loop, PQsocket(pg->conn), on_watch, pg);
	watch_set(&pg->watch, events);
}

/* Nobody reads what the server remarks: it may quote values. */
static void ignore_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

/* libpq wants as many host names as addresses: the same one for each. */
static struct buf repeat_host(const char *host, const char *addresses)
{
	struct buf hosts = {0};

	buf_add_cstr(&hosts, host);
	for (const char *p = addresses; p && *p; p++) {
		if (*p == ',') {
			buf_add_char(&hosts, ',');
			buf_add_cstr(&hosts, host);
		}
	}
	buf_add_char(&hosts, '\0');
	return hosts;
}

int pg_open(struct pg *pg, struct loop *loop, const struct conf *conf, const char *addresses, const char *name,
	    const struct pg_events *events, void *arg, char why[PG_WHY_SIZE])
{
	char port[NUMBER_SIZE], options[128];
	struct buf hosts = repeat_host(conf->db_host, addresses);
	const char *const pairs[][2] = {
		{"host", hosts.p},       /* also what a certificate is compared with */
		{"hostaddr", addresses}, /* without it libpq would ask the name server, and block */
		{"port", port},
		{"user", conf->db_user},
		{"password", *conf->db_password ? conf->db_password : NULL},
		{"dbname", conf->db_name},
		{"sslmode", conf->db_sslmode},
		{"gssencmode", "disable"}, /* would block too */
		{"client_encoding", "UTF8"},
		{"application_name", name},
		/* A statement that we give up must not happen later. Planning costs more than any of ours gains by knowing its
		 * parameters; but a plan made while a table was empty must not scan it when it is large, nor be compiled because of
		 * the price such a scan is given. PgBouncer refuses options: there the role has to have them. */
		{"options", conf->db_prepared ? options : NULL},
		{"keepalives_idle", "30"},
		{"keepalives_interval", "10"},
		{"keepalives_count", "3"},
	};
	const char *keywords[N_ELEMENTS(pairs) + 1] = {NULL}, *values[N_ELEMENTS(pairs) + 1] = {NULL};

	snprintf(port, sizeof(port), "%" PRId64, conf->db_port);
	snprintf(options, sizeof(options), "-c statement_timeout=%" PRId64 " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off",
		 conf->db_statement_timeout_ms);
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		keywords[i] = pairs[i][0];
		values[i] = pairs[i][1];
	}
	*pg = (struct pg){.loop = loop, .events = events, .arg = arg, .state = PG_CONNECTING};
	pg->conn = PQconnectStartParams(keywords, values, 0);
	buf_fini(&hosts);
	if (!pg->conn)
		mem_exhausted(0);
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	if (PQstatus(pg->conn) == CONNECTION_BAD) {
		explain(pg, why);
		pg_close(pg);
		return -1;
	}
	watch_socket(pg, WATCH_WRITE);
	return 0;
}

void pg_close(struct pg *pg)
{
	watch_fini(&pg->watch);
	if (pg->conn)
		PQfinish(pg->conn);
	pg_result_free(pg->result);
	free(pg->prepared);
	buf_fini(&pg->scratch);
	*pg = (struct pg){.loop = pg->loop};
}

static void drive_connect(struct pg *pg)
{
	PostgresPollingStatusType wants;

	/* libpq may close this socket and try the next way on another one that has the same number: watch afresh each time. */
	watch_fini(&pg->watch);
	wants = PQconnectPoll(pg->conn);
	if (wants == PGRES_POLLING_READING || wants == PGRES_POLLING_WRITING) {
		watch_socket(pg, wants == PGRES_POLLING_READING ? WATCH_READ : WATCH_WRITE);
		return;
	}
	if (wants != PGRES_POLLING_OK || PQsetnonblocking(pg->conn, 1) != 0) {
		lose(pg);
		return;
	}
	pg->state = PG_IDLE;
	watch_socket(pg, WATCH_READ);
	pg->events->on_ready(pg->arg);
}

/* Parameters as libpq wants them: each text with a NUL, side by side in the scratch buffer. */
static void write_params(struct pg *pg, const struct query *q, const char *values[QUERY_MAX_PARAMS])
{
	size_t size = 0;

	for (size_t i = 0; i < q->n_params; i++)
		size += q->kinds[i] == QUERY_TEXT ? q->values[i].text.len + 1 : NUMBER_SIZE;
	pg->scratch.len = 0;
	buf_reserve(&pg->scratch, size + 1); /* so that nothing moves below */
	for (size_t i = 0; i < q->n_params; i++) {
		const union query_value *v = &q->values[i];

		values[i] = pg->scratch.p + pg->scratch.len;
		switch ((enum query_kind)q->kinds[i]) {
		case QUERY_TEXT: buf_add_str(&pg->scratch, v->text); break;
		case QUERY_INT: buf_printf(&pg->scratch, "%" PRId64, v->number); break;
		case QUERY_BOOL: buf_add_cstr(&pg->scratch, v->number ? "t" : "f"); break;
		case QUERY_NULL: values[i] = NULL; break;
		}
		buf_add_char(&pg->scratch, '\0');
	}
}

static bool is_prepared(const struct pg *pg, const struct statement *stmt)
{
	for (size_t i = 0; i < pg->n_prepared; i++)
		if (pg->prepared[i] == stmt)
			return true;
	return false;
}

static void remember_prepared(struct pg *pg)
{
	if (pg->n_prepared == pg->prepared_size) {
		pg->prepared_size = pg->prepared_size ? 2 * pg->prepared_size : 16;
		pg->prepared = mem_resize(pg->prepared, pg->prepared_size * sizeof(struct statement *));
	}
	pg->prepared[pg->n_prepared++] = pg->stmt;
}

/* Hands on to the socket what it takes; the rest when it is writable. False if the connection is lost. */
static bool flush(struct pg *pg)
{
	int left = PQflush(pg->conn);

	if (left >= 0)
		watch_set(&pg->watch, left ? WATCH_READ | WATCH_WRITE : WATCH_READ);
	return left >= 0;
}

static bool send_execute(struct pg *pg, const struct query *q, bool prepared)
{
	const char *values[QUERY_MAX_PARAMS];
	int sent;

	write_params(pg, q, values);
	pg->state = PG_EXECUTING;
	pg->q = NULL; /* libpq copies the parameters */
	if (prepared)
		sent = PQsendQueryPrepared(pg->conn, pg->stmt->name, q->n_params, values, NULL, NULL, 0);
	else
		sent = PQsendQueryParams(pg->conn, pg->stmt->sql, q->n_params, NULL, values, NULL, NULL, 0);
	if (pg->scratch.len > SWOLLEN_BYTES)
		pg->swollen = true;
	if (pg->scratch.size > KEEP_SCRATCH_BYTES)
		buf_fini(&pg->scratch);
	return sent && flush(pg);
}

static bool send_prepare(struct pg *pg, const struct query *q)
{
	pg->state = PG_PREPARING;
	pg->q = q;
	return PQsendPrepare(pg->conn, pg->stmt->name, pg->stmt->sql, 0, NULL) && flush(pg);
}

int pg_start(struct pg *pg, const struct query *q, bool prepared, char why[PG_WHY_SIZE])
{
	bool sent;

	assert(pg->state == PG_IDLE && !pg->result);
	pg->stmt = q->stmt;
	pg->reused = prepared && is_prepared(pg, q->stmt);
	if (prepared && !pg->reused)
		sent = send_prepare(pg, q);
	else
		sent = send_execute(pg, q, prepared);
	if (!sent)
		explain(pg, why);
	return sent ? 0 : -1;
}

void pg_detach(struct pg *pg)
{
	pg->q = NULL;
}

static void finish(struct pg *pg)
{
	struct pg_result *result = pg->result;

	pg->result = NULL;
	pg->stmt = NULL;
	pg->q = NULL;
	pg->state = PG_IDLE;
	if (result && PQresultMemorySize(result) > SWOLLEN_BYTES)
		pg->swollen = true;
	pg->events->on_done(pg->arg, result);
}

/* All results of what was sent are here. */
static void answered(struct pg *pg)
{
	if (pg->state == PG_EXECUTING || !pg_result_ok(pg->result)) {
		finish(pg);
		return;
	}
	remember_prepared(pg);
	pg_result_free(pg->result);
	pg->result = NULL;
	if (!pg->q)
		finish(pg); /* detached: nothing has been done for it */
	else if (!send_execute(pg, pg->q, true))
		lose(pg);
}

static bool is_copy(ExecStatusType status)
{
	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

static void collect(struct pg *pg)
{
	while (!PQisBusy(pg->conn)) {
		PGresult *result = PQgetResult(pg->conn);
		ExecStatusType status = PQresultStatus(result);

		if (!result) {
			if (PQstatus(pg->conn) == CONNECTION_BAD)
				lose(pg);
			else
				answered(pg);
			return;
		}
		if (pg->result)
			PQclear(result); /* one statement has one result; another one only tells of the loss */
		else
			pg->result = result;
		if (PQstatus(pg->conn) == CONNECTION_BAD || is_copy(status)) { /* COPY would never end, and is not for here */
			lose(pg);
			return;
		}
	}
}

static void drive_io(struct pg *pg, int events)
{
	if (((events & WATCH_READ) && !PQconsumeInput(pg->conn)) || !flush(pg))
		lose(pg);
	else if (pg->state == PG_PREPARING || pg->state == PG_EXECUTING)
		collect(pg);
	else if (PQisBusy(pg->conn) || PQstatus(pg->conn) == CONNECTION_BAD) /* reads what the server says unasked */
		lose(pg);
}

static void on_watch(void *arg, int events)
{
	struct pg *pg = arg;
	struct loop *loop = pg->loop;
	bool connecting = pg->state == PG_CONNECTING;
	uint64_t began_us = clock_mono_us();

	if (connecting)
		drive_connect(pg);
	else
		drive_io(pg, events);
	loop_note(loop, connecting ? "db_connect" : "db_read", clock_mono_us() - began_us);
}

void pg_result_free(struct pg_result *result)
{
	PQclear(result);
}

bool pg_result_ok(const struct pg_result *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

size_t pg_result_n_rows(const struct pg_result *result)
{
	return (size_t)PQntuples(result);
}

size_t pg_result_n_cols(const struct pg_result *result)
{
	return (size_t)PQnfields(result);
}

int64_t pg_result_n_affected(const struct pg_result *result)
{
	return strtoll(PQcmdTuples((PGresult *)(uintptr_t)result), NULL, 10);
}

struct str pg_result_value(const struct pg_result *result, size_t row, size_t col)
{
	return (struct str){PQgetvalue(result, (int)row, (int)col), (size_t)PQgetlength(result, (int)row, (int)col)};
}

bool pg_result_is_null(const struct pg_result *result, size_t row, size_t col)
{
	return PQgetisnull(result, (int)row, (int)col);
}

static const char *field(const struct pg_result *result, int code)
{
	const char *text = PQresultErrorField(result, code);

	return text ? text : "";
}

const char *pg_result_sqlstate(const struct pg_result *result)
{
	return field(result, PG_DIAG_SQLSTATE);
}

const char *pg_result_constraint(const struct pg_result *result)
{
	return field(result, PG_DIAG_CONSTRAINT_NAME);
}

const char *pg_result_message(const struct pg_result *result)
{
	return field(result, PG_DIAG_MESSAGE_PRIMARY);
}
