/* One statement with its parameters and, later, its rows. Embedded in whoever waits for it, so a query allocates nothing of ours.
 * It does not travel by itself: db/pool.h sends it. */
#pragma once
#include "base/list.h"
#include "base/op.h"
#include "base/str.h"

struct pg_result;
struct pool;
struct pool_conn;

/* Static const, next to the function that decodes its rows. The name is unique in the program: connections prepare it under that name. */
struct statement {
	const char *name, *sql;
	int n_params; /* $1..$n */
};

enum { QUERY_MAX_PARAMS = 24, QUERY_SQLSTATE_SIZE = 6 };

enum query_kind { QUERY_NULL, QUERY_TEXT, QUERY_INT, QUERY_BOOL };

enum query_state {
	QUERY_UNSENT,   /* being filled, or over: nobody waits */
	QUERY_WAITING,  /* in a list of pool.waiting, for a connection */
	QUERY_RUNNING,  /* with q->conn */
	QUERY_FINISHED, /* in pool.finished: done is about to be called */
};

struct query {
	struct op op; /* op.done is set by the waiter; op.deadline_us 0: DB_CONNECTION_TIMEOUT to wait, DB_STATEMENT_TIMEOUT to run */
	/* the query's and the pool's own: */
	const struct statement *stmt; /* borrowed */
	struct pg_result *result;     /* owned */
	struct pool *pool;            /* borrowed, while not unsent */
	struct pool_conn *conn;       /* borrowed, while running */
	struct list node;
	uint64_t number;                 /* among all of the pool, in the order they came */
	uint64_t started_us, give_up_us; /* while waiting */
	enum query_state state;
	char sqlstate[QUERY_SQLSTATE_SIZE];
	bool unsendable; /* a text holds a NUL byte */
	bool heavy;      /* see query_start_heavy */
	bool was_sent;   /* it had a connection: an error does not prove that it has not happened */
	uint8_t n_params, kinds[QUERY_MAX_PARAMS];
	union query_value {
		struct str text; /* borrowed until done */
		int64_t number;
	} values[QUERY_MAX_PARAMS];
};

/* Empties storage of the caller. Set q->op.done afterwards. An all-zero query is an empty one too. */
void query_init(struct query *q);
/* Frees the rows and forgets the parameters; cancels first if it is in flight. The query can be filled and started again:
 * op.done and op.deadline_us stay as they are. */
void query_fini(struct query *q);

/* Append the next parameter; at most QUERY_MAX_PARAMS. Texts are borrowed until done (or cancel).
 * PostgreSQL knows no NUL byte: a query with one in a text ends with -ERR_VALIDATION. */
void query_text(struct query *q, struct str value);
/* NULL if the value is empty. */
void query_text_or_null(struct query *q, struct str value);
void query_int(struct query *q, int64_t value);
void query_bool(struct query *q, bool value);
void query_null(struct query *q);

/* The rows, valid from done until query_fini. Without a result (an error) there are none. */
size_t query_n_rows(const struct query *q);
/* Rows that an INSERT, UPDATE or DELETE touched, or a SELECT gave. */
int64_t query_n_affected(const struct query *q);
/* Text of a column; empty for NULL. Followed by a NUL byte. Borrowed from the query. Rows and columns count from 0 and must exist. */
struct str query_col(const struct query *q, size_t row, size_t col);
bool query_is_null(const struct query *q, size_t row, size_t col);
/* An integer column; 0 for NULL and for anything that is no integer. */
int64_t query_col_int(const struct query *q, size_t row, size_t col);
bool query_col_bool(const struct query *q, size_t row, size_t col);
/* The five characters of PostgreSQL's error; empty if there was none or it did not come from PostgreSQL. */
const char *query_sqlstate(const struct query *q);
/* Was it handed to a connection? Then an error other than PostgreSQL's own does not prove that it has not happened. */
bool query_was_sent(const struct query *q);
/* Name of the violated constraint, for -ERR_CONFLICT; empty if there is none. Borrowed from the query. */
struct str query_constraint(const struct query *q);
