/* One operation in flight: all that adapters know of whoever waits. It is embedded in the waiter, so a wait allocates nothing.
 * Rules: done is called once, from the loop, never from inside the call that started it; after op_cancel it is not called. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct op {
	void (*done)(struct op *op);   /* set by the waiter */
	int err;                       /* 0 or -ERR_*, valid in done */
	uint64_t deadline_us;          /* clock_mono_us when the adapter gives up; 0: the adapter's own limit */
	void (*cancel)(struct op *op); /* set by the adapter while in flight, else NULL */
};

static inline bool op_waiting(const struct op *op)
{
	return op->cancel != NULL;
}

/* The waiter no longer wants the result. Nothing happens if nothing is in flight. */
static inline void op_cancel(struct op *op)
{
	void (*cancel)(struct op *) = op->cancel;

	op->cancel = NULL;
	if (cancel)
		cancel(op);
}

/* For adapters: the operation is over. The op may be gone when this returns. */
static inline void op_finish(struct op *op, int err)
{
	op->cancel = NULL;
	op->err = err;
	op->done(op);
}
