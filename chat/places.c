/* Counted in the pages that siblings read. A place is counted first and looked at then, so that of two processes that want the last one never
 * both have it; both may find that they were too many, and try again. */
#include "chat/places.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/siblings.h"
#include "chat/agent.h"

/* How often the first in line looks whether another responder has given a place back. */
enum { LOOK_MS = 50 };

static uint64_t n_on_host(const struct place *p, enum process_tally what)
{
	uint64_t key = str_hash(p->agent->id);

	return process_tally_get(p->process->page, key, what) + siblings_tally(p->siblings, key, what);
}

/* Where there is no place for another name, only this process counts: see below. */
static void tally(const struct place *p, enum process_tally what, int change)
{
	(void)!process_tally(p->process, str_hash(p->agent->id), what, change);
}

static bool try_to_take(struct place *p)
{
	struct agent_seen *seen = p->agent->seen;
	uint64_t max = (uint64_t)p->agent->max_concurrent;

	tally(p, TALLY_CALLS, 1);
	if (n_on_host(p, TALLY_CALLS) > max || seen->n_calls >= max) {
		tally(p, TALLY_CALLS, -1);
		return false;
	}
	seen->n_calls++;
	p->taken = true;
	return true;
}

static struct place *first_in_line(const struct agent *agent)
{
	return list_empty(&agent->seen->waiting) ? NULL : CONTAINER_OF(agent->seen->waiting.next, struct place, node);
}

/* Only the first in line looks around. */
static void watch(const struct agent *agent)
{
	struct place *first = first_in_line(agent);

	if (first)
		timer_start(&first->timer, clock_mono_us() < first->give_up_us ? LOOK_MS : 0);
}

static void leave_line(struct place *p)
{
	list_remove(&p->node);
	timer_fini(&p->timer);
	tally(p, TALLY_WAITING, -1);
	watch(p->agent);
}

static void forget(struct place *p)
{
	agent_unref(p->agent);
	p->agent = NULL;
}

static void on_look(void *arg)
{
	struct place *p = arg;

	if (try_to_take(p)) {
		leave_line(p);
		op_finish(&p->op, 0);
	} else if (clock_mono_us() >= p->give_up_us) {
		leave_line(p);
		forget(p);
		op_finish(&p->op, -ERR_OVERLOADED);
	} else {
		timer_start(&p->timer, LOOK_MS);
	}
}

static void cancel(struct op *op)
{
	struct place *p = CONTAINER_OF(op, struct place, op);

	leave_line(p);
	forget(p);
}

enum place_result place_take(struct place *p, struct loop *loop, struct process *process, const struct siblings *siblings, struct agent *agent,
			     uint64_t give_up_us)
{
	if (agent->max_concurrent == 0)
		return PLACE_TAKEN;
	p->agent = agent_ref(agent);
	p->process = process;
	p->siblings = siblings;
	p->give_up_us = give_up_us;
	if (list_empty(&agent->seen->waiting) && try_to_take(p))
		return PLACE_TAKEN;
	tally(p, TALLY_WAITING, 1);
	if (n_on_host(p, TALLY_WAITING) > (uint64_t)agent->max_queue) {
		tally(p, TALLY_WAITING, -1);
		forget(p);
		return PLACE_REFUSED;
	}
	timer_init(&p->timer, loop, on_look, p);
	list_push(&agent->seen->waiting, &p->node);
	p->op.cancel = cancel;
	if (first_in_line(agent) == p)
		watch(agent);
	return PLACE_WAITS;
}

void place_give(struct place *p)
{
	struct place *next;

	if (!p->taken)
		return;
	p->taken = false;
	p->agent->seen->n_calls--;
	tally(p, TALLY_CALLS, -1);
	next = first_in_line(p->agent);
	if (next)
		timer_start(&next->timer, 0); /* not from here: who gives may be in the middle of something */
	forget(p);
}
