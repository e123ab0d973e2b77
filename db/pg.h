/* One PostgreSQL connection on the loop: connecting, one statement at a time, noticing its loss. Nothing in it blocks, it never
 * reconnects and has no deadlines: those are the pool's. The only place that knows libpq; rows are read through pg_result_*. */
#pragma once
#include "base/buf.h"
#include "base/loop.h"
#include "base/str.h"

struct conf;
struct pg_conn;
struct pg_result;
struct query;
struct statement;

struct pg_events {
	void (*on_ready)(void *arg);
	/* The statement is over; result is given (free it with pg_result_free), NULL if it was detached before it was sent. */
	void (*on_done)(void *arg, struct pg_result *result);
	/* Connecting failed, or the connection is gone, with its statement if there was one. Call pg_close. */
	void (*on_lost)(void *arg, const char *why);
};

enum pg_state {
	PG_CLOSED,
	PG_CONNECTING, /* waits for on_ready or on_lost */
	PG_IDLE,       /* waits for pg_start, listens for the loss of the connection */
	PG_PREPARING,  /* waits for the answer to Parse; the statement's parameters follow */
	PG_EXECUTING,  /* waits for the rows */
};

enum { PG_WHY_SIZE = 256 };

struct pg {
	struct loop *loop;              /* borrowed */
	const struct pg_events *events; /* borrowed */
	void *arg;                      /* borrowed */
	enum pg_state state;
	struct pg_conn *conn; /* owned; NULL: closed */
	struct watch watch;
	const struct query *q;             /* borrowed, while preparing; NULL: detached */
	const struct statement *stmt;      /* borrowed, while preparing or executing */
	struct pg_result *result;          /* owned, until the statement is over */
	const struct statement **prepared; /* owned: what this connection has prepared */
	size_t n_prepared, prepared_size;
	struct buf scratch; /* parameters, each with its NUL, while they are handed to libpq */
	bool swollen;       /* a large statement has gone through: libpq keeps buffers of its size for good */
	bool reused;        /* the statement was prepared by an earlier one */
};

/* Begins to connect to the database of conf; addresses are the numeric forms of its host with commas between,
 * NULL for a unix socket; name is what the
 * server calls us. events and arg are borrowed until pg_close. Returns 0, or -1 with the reason in why: then it is closed. */
MUST_CHECK int pg_open(struct pg *pg, struct loop *loop, const struct conf *conf, const char *addresses, const char *name,
		       const struct pg_events *events, void *arg, char why[PG_WHY_SIZE]);
/* Closes at once; no event comes afterwards. Right inside an event, but the memory must outlive the event. */
void pg_close(struct pg *pg);
/* Sends stmt of q with its parameters on an idle connection, prepared (once per connection) or unnamed. The parameters are
 * borrowed until on_done or pg_detach. Returns 0, or -1 with the reason in why: the connection is of no more use. */
MUST_CHECK int pg_start(struct pg *pg, const struct query *q, bool prepared, char why[PG_WHY_SIZE]);
/* q may go away: a statement that was sent runs on, one that was not is not sent any more. on_done still comes. */
void pg_detach(struct pg *pg);

void pg_result_free(struct pg_result *result);
bool pg_result_ok(const struct pg_result *result);
size_t pg_result_n_rows(const struct pg_result *result);
size_t pg_result_n_cols(const struct pg_result *result);
int64_t pg_result_n_affected(const struct pg_result *result);
struct str pg_result_value(const struct pg_result *result, size_t row, size_t col);
bool pg_result_is_null(const struct pg_result *result, size_t row, size_t col);
/* Never NULL: empty if there is none. */
const char *pg_result_sqlstate(const struct pg_result *result);
const char *pg_result_constraint(const struct pg_result *result);
/* PostgreSQL's primary message. It may quote values: only for errors that cannot. */
const char *pg_result_message(const struct pg_result *result);
