/* The step driver. */
#include "handlers/flow.h"

#include <stdlib.h>

#include "auth/people.h"
#include "base/clock.h"
#include "chat/reservation.h"
#include "chat/turn.h"
#include "handlers/request.h"

static void run_on(struct defer *d);

/* Every step is measured: a slow one is named by the loop's watchdog. */
static enum flow_next call(struct request *r, enum flow_next (*fn)(struct request *r))
{
	const char *name = r->step->name;
	uint64_t began_us = clock_mono_us();
	struct loop *loop = r->app->loop;
	enum flow_next next;

	r->log.step = name;
	next = fn(r);
	loop_note(loop, name, clock_mono_us() - began_us);
	return next;
}

static void run(struct request *r, enum flow_next next)
{
	while (next == FLOW_NEXT) {
		r->step++;
		if (!r->step->name && r->then) {
			r->step = r->then;
			r->then = NULL;
		}
		if (!r->step->name) { /* the table forgot to answer */
			request_reject(r, ERR_INTERNAL);
			return;
		}
		next = call(r, r->step->start);
	}
	r->waiting = next == FLOW_WAIT;
	if (next == FLOW_AGAIN)
		loop_defer(r->app->loop, &r->resume, run_on);
}

static void run_on(struct defer *d)
{
	struct request *r = CONTAINER_OF(d, struct request, resume);

	run(r, call(r, r->step->start));
}

void flow_start(struct request *r, const struct step *steps)
{
	r->step = steps;
	run(r, call(r, steps->start));
}

void flow_wake(struct request *r)
{
	if (!r->waiting)
		return;
	r->waiting = false;
	run(r, call(r, r->step->finish));
}

static void free_request(struct defer *d)
{
	struct request *r = CONTAINER_OF(d, struct request, resume);

	json_parser_fini(&r->parser);
	json_free(r->body);
	person_unref(r->person);
	arena_fini(&r->arena);
	free(r);
}

void flow_end(struct request *r)
{
	if (r->over)
		return;
	r->over = true;
	r->waiting = false;
	reservation_end(r->reservation, false);
	r->reservation = NULL;
	cache_ask_end(&r->cached);
	op_cancel(&r->drop.op);
	request_end_question(r);
	timer_fini(&r->timer);
	if (r->turn)
		turn_leave(r->turn, &r->reader);
	r->turn = NULL;
	defer_cancel(&r->resume);
	loop_defer(r->app->loop, &r->resume, free_request);
}
