/* One sweep: ask for the owners of streaming rows of this node, then interrupt those of each dead one, one after the other. */
#include "chat/sweeper.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "db/messages.h"

enum { PERIOD_MS = 3000, JITTER_MS = 1000, MAX_DEAD = 100 };

struct sweeper {
	struct pool *pool;
	const struct process *process;
	struct timer timer;
	struct query query;
	struct dead {
		int slot;
		int64_t generation;
	} dead[MAX_DEAD];
	size_t n_dead;
};

static void next_sweep(struct sweeper *s)
{
	query_fini(&s->query);
	timer_start(&s->timer, PERIOD_MS + crypto_random_below(JITTER_MS));
}

static void interrupt_next(struct sweeper *s);

static void on_interrupted(struct op *op)
{
	struct sweeper *s = CONTAINER_OF(op, struct sweeper, query.op);

	if (op->err) {
		next_sweep(s);
		return;
	}
	log_warn(NULL, "turns_of_dead_responder", "dead_slot", s->dead[s->n_dead].slot, "interrupted", query_n_affected(&s->query));
	query_fini(&s->query);
	interrupt_next(s);
}

static void interrupt_next(struct sweeper *s)
{
	if (s->n_dead == 0) {
		next_sweep(s);
		return;
	}
	s->n_dead--;
	s->query.op.done = on_interrupted;
	messages_interrupt(s->pool, &s->query, s->process, s->dead[s->n_dead].slot, s->dead[s->n_dead].generation);
}

static void on_owners(struct op *op)
{
	struct sweeper *s = CONTAINER_OF(op, struct sweeper, query.op);

	s->n_dead = 0;
	for (size_t i = 0; op->err == 0 && i < query_n_rows(&s->query) && i < MAX_DEAD; i++) {
		struct dead owner;

		messages_owner_row(&s->query, i, &owner.slot, &owner.generation);
		if (!process_alive(s->process, owner.slot, owner.generation))
			s->dead[s->n_dead++] = owner;
	}
	query_fini(&s->query);
	interrupt_next(s);
}

static void sweep(void *arg)
{
	struct sweeper *s = arg;

	s->query.op.done = on_owners;
	messages_find_owners(s->pool, &s->query, s->process);
}

struct sweeper *sweeper_new(struct loop *loop, struct pool *pool, const struct process *process)
{
	struct sweeper *s = mem_alloc(sizeof(*s));

	s->pool = pool;
	s->process = process;
	query_init(&s->query);
	timer_init(&s->timer, loop, sweep, s);
	timer_start(&s->timer, 0);
	return s;
}

void sweeper_free(struct sweeper *s)
{
	query_fini(&s->query);
	timer_fini(&s->timer);
	free(s);
}
