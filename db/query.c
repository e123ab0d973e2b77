/* Parameters in, rows out. */
#include "db/query.h"

#include <assert.h>

#include "db/pg.h"

void query_init(struct query *q)
{
	*q = (struct query){.n_params = 0};
}

void query_fini(struct query *q)
{
	op_cancel(&q->op);
	pg_result_free(q->result);
	q->result = NULL;
	q->n_params = 0;
	q->unsendable = false;
	q->sqlstate[0] = '\0';
}

static union query_value *append(struct query *q, enum query_kind kind)
{
	assert(q->n_params < QUERY_MAX_PARAMS && q->state == QUERY_UNSENT);
	q->kinds[q->n_params] = (uint8_t)kind;
	return &q->values[q->n_params++];
}

void query_text(struct query *q, struct str value)
{
	append(q, QUERY_TEXT)->text = value;
	if (value.len && memchr(value.p, '\0', value.len))
		q->unsendable = true;
}

void query_text_or_null(struct query *q, struct str value)
{
	if (value.len)
		query_text(q, value);
	else
		query_null(q);
}

void query_int(struct query *q, int64_t value)
{
	append(q, QUERY_INT)->number = value;
}

void query_bool(struct query *q, bool value)
{
	append(q, QUERY_BOOL)->number = value;
}

void query_null(struct query *q)
{
	append(q, QUERY_NULL)->number = 0;
}

size_t query_n_rows(const struct query *q)
{
	return pg_result_n_rows(q->result);
}

int64_t query_n_affected(const struct query *q)
{
	return q->result ? pg_result_n_affected(q->result) : 0;
}

struct str query_col(const struct query *q, size_t row, size_t col)
{
	assert(row < query_n_rows(q) && col < pg_result_n_cols(q->result));
	return pg_result_value(q->result, row, col);
}

bool query_is_null(const struct query *q, size_t row, size_t col)
{
	assert(row < query_n_rows(q) && col < pg_result_n_cols(q->result));
	return pg_result_is_null(q->result, row, col);
}

int64_t query_col_int(const struct query *q, size_t row, size_t col)
{
	int64_t n;

	return str_to_i64(query_col(q, row, col), &n) ? n : 0;
}

bool query_col_bool(const struct query *q, size_t row, size_t col)
{
	return str_eq(query_col(q, row, col), STR("t"));
}

const char *query_sqlstate(const struct query *q)
{
	return q->sqlstate;
}

struct str query_constraint(const struct query *q)
{
	return str_from(pg_result_constraint(q->result));
}

bool query_was_sent(const struct query *q)
{
	return q->was_sent;
}
