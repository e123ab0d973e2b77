/* An agent's maxConcurrent: so many calls to its provider at once on this host; up to maxQueue turns more wait for their time (as many as
 * maxConcurrent, if the agent does not say). Within a responder they wait in line; which responder is next is left to chance. */
#pragma once
#include "base/list.h"
#include "base/loop.h"
#include "base/op.h"

struct agent;
struct process;
struct siblings;

/* A place for one call, embedded in whoever makes it. An all-zero one is none. */
struct place {
	struct op op; /* set op.done first. op.err: 0 it is taken; -ERR_OVERLOADED nothing came free in time */
	/* its own: */
	struct agent *agent; /* a reference, while it is taken or waited for */
	struct process *process;
	const struct siblings *siblings;
	struct list node; /* in agent->seen->waiting */
	struct timer timer;
	uint64_t give_up_us;
	bool taken;
};

enum place_result { PLACE_TAKEN, PLACE_WAITS, PLACE_REFUSED };
/* Takes a place, or waits for one until give_up_us (clock_mono_us): op.done tells, and op_cancel ends it. Refused: too many wait already. */
enum place_result place_take(struct place *p, struct loop *loop, struct process *process, const struct siblings *siblings, struct agent *agent,
			     uint64_t give_up_us);
/* Gives it back, if it was taken. */
void place_give(struct place *p);
