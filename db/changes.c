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
	int64_t seen;                          /* the number of the last change; -1: not asked for yet, so that all were missed */
	void (*on_read)(void *arg, int64_t n); /* may be NULL */
	/* what is to be said: */
	const char *kind; /* NULL: nothing yet */
	bool due;         /* nobody has begun to say it since it was last asked for */
	bool resting;     /* it is being said, or was a moment ago */
	struct timer rest;
	struct query announcement;
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

	if (changes->on_read)
		changes->on_read(changes->arg, last);
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

/* ---- saying that something has changed ---- */

static const struct statement announce_change = {
	"announce_change",
	"WITH counted AS (UPDATE version SET n = n + 1 RETURNING n) INSERT INTO changes (n, kind, key) SELECT n, $1, '' FROM counted",
	1,
};

static void on_announced(struct op *op)
{
	struct changes *changes = CONTAINER_OF(op, struct changes, announcement.op);

	changes->due = changes->due || op->err;
	query_fini(&changes->announcement);
	timer_start(&changes->rest, PERIOD_MS);
}

static void announce_now(struct changes *changes)
{
	changes->due = false;
	query_text(&changes->announcement, str_from(changes->kind));
	query_start(changes->pool, &changes->announcement, &announce_change);
}

static void on_rested(void *arg)
{
	struct changes *changes = arg;

	changes->resting = false;
	if (changes->due)
		changes_announce(changes, changes->kind);
}

void changes_announce(struct changes *changes, const char *kind)
{
	changes->kind = kind;
	changes->due = true;
	if (changes->resting)
		return;
	changes->resting = true; /* until it is said, and for a while after that */
	announce_now(changes);
}

void changes_on_read(struct changes *changes, void (*fn)(void *arg, int64_t n))
{
	changes->on_read = fn;
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
	query_init(&changes->announcement);
	changes->announcement.op.done = on_announced;
	timer_init(&changes->rest, loop, on_rested, changes);
	timer_init(&changes->timer, loop, read_now, changes);
	timer_start(&changes->timer, 0);
	return changes;
}

void changes_free(struct changes *changes)
{
	if (!changes)
		return;
	query_fini(&changes->query);
	query_fini(&changes->announcement);
	timer_fini(&changes->timer);
	timer_fini(&changes->rest);
	free(changes);
}

const struct statement *const changes_statements[] = {&read_changes, &announce_change, NULL};
