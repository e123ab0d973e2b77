/* One statement twice a second. Numbers have no gap, so that a number which does not come says that something was missed. */
#include "db/changes.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "db/pool.h"
#include "db/statements.h"

enum { PERIOD_MS = 500, MAX_AT_ONCE = 1000 };

struct changes {
	struct pool *pool;
	struct timer timer;
	struct query query;
	void (*fn)(void *arg, struct str kind, struct str id);
	void *arg;
	int64_t seen; /* the number of the last change; -1: not asked for yet, so that all were missed */
};

static const struct statement read_changes = {
	"read_changes",
	"SELECT v.n, c.kind, c.key FROM version v LEFT JOIN LATERAL"
	" (SELECT n, kind, key FROM changes WHERE n > $1::bigint AND n <= v.n AND $1::bigint >= 0 ORDER BY n LIMIT $2::bigint) c ON true",
	2,
};

static void take_rows(struct changes *changes)
{
	const struct query *q = &changes->query;
	int64_t last = query_col_int(q, 0, 0), missing = last - changes->seen;

	if (missing != 0) {
		bool all = missing > 0 && (size_t)missing == query_n_rows(q) && !query_is_null(q, 0, 1);

		for (size_t i = 0; all && i < query_n_rows(q); i++)
			changes->fn(changes->arg, query_col(q, i, 1), query_col(q, i, 2));
		if (!all && changes->seen >= 0)
			log_info(NULL, "changes_missed", "from", changes->seen, "to", last);
		if (!all)
			changes->fn(changes->arg, STR(""), STR(""));
	}
	changes->seen = last;
}

static void on_read(struct op *op)
{
	struct changes *changes = CONTAINER_OF(op, struct changes, query.op);

	if (op->err == 0 && query_n_rows(&changes->query) > 0)
		take_rows(changes);
	query_fini(&changes->query);
	timer_start(&changes->timer, PERIOD_MS);
}

static void read_now(void *arg)
{
	struct changes *changes = arg;

	query_int(&changes->query, changes->seen);
	query_int(&changes->query, MAX_AT_ONCE);
	query_start(changes->pool, &changes->query, &read_changes);
}

struct changes *changes_new(struct loop *loop, struct pool *pool, void (*fn)(void *arg, struct str kind, struct str id), void *arg)
{
	struct changes *changes = mem_alloc(sizeof(*changes));

	changes->pool = pool;
	changes->fn = fn;
	changes->arg = arg;
	changes->seen = -1;
	query_init(&changes->query);
	changes->query.op.done = on_read;
	timer_init(&changes->timer, loop, read_now, changes);
	timer_start(&changes->timer, 0);
	return changes;
}

void changes_free(struct changes *changes)
{
	if (!changes)
		return;
	query_fini(&changes->query);
	timer_fini(&changes->timer);
	free(changes);
}

const struct statement *const changes_statements[] = {&read_changes, NULL};
